"""Where messages come from: Apache Kafka and files."""
