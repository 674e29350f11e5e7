"""Connections to Redis: clients, login, encryption and Sentinel."""
