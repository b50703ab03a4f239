"""Deliveries: messages of alert episodes, a durable outbox, and the channels that take them."""
