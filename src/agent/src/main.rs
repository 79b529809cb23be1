//! Reports what an OpenWrt access point hears over MQTT.
fn main() {}
