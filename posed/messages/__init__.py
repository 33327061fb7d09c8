"""What posed says: the structs on the wire, their JSON Schemas and their topics; nothing of MQTT itself."""
