"""The simulated client of the data backbone: it takes files out of DBB_STAGING and stores them."""
