"""Sources of messages: Apache Kafka and files."""
