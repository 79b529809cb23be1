//! One thin module over the MQTT client.
