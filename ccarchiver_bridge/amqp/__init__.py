"""RabbitMQ behind one typed adapter: `Link` is one connection, from open to closed."""
