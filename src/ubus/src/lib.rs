//! blobmsg codec and client of OpenWrt's ubus.
