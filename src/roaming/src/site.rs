//! What the home is called: names of access points and devices, and which MACs are one device. Facts carry ids and
//! MACs only, so that a renamed device keeps its history.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use whichroom_wire::{Id, Mac};

/// Names of a home.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Site {
    /// Names of access points; one that is missing is called by its id.
    pub aps: BTreeMap<Id, String>,
    /// Known devices; a MAC that is missing is a device of its own, called by its MAC.
    pub devices: Vec<NamedDevice>,
    /// What the country or the hardware allows at most, by BSSID, where that is known.
    pub power_limits_dbm: BTreeMap<Mac, i8>,
}

/// A device with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedDevice {
    /// Its name.
    pub name: String,
    /// Its MACs: private ones differ by network.
    pub macs: Vec<Mac>,
}

/// A device as a report names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Device {
    /// Its name, or its MAC.
    pub name: String,
    /// The first of its MACs.
    pub mac: Mac,
}

impl Site {
    /// The name of an access point.
    pub fn ap_name<'a>(&'a self, id: &'a Id) -> &'a str {
        self.aps.get(id).map_or(id.as_str(), String::as_str)
    }

    /// All MACs of the device that has this one; itself alone where no device has.
    pub fn macs_of(&self, mac: Mac) -> BTreeSet<Mac> {
        let owner = self.devices.iter().find(|device| device.macs.contains(&mac));
        owner.map_or_else(|| BTreeSet::from([mac]), |device| device.macs.iter().copied().collect())
    }

    /// The device of each MAC that has a name: its position in `devices`.
    pub(crate) fn by_mac(&self) -> BTreeMap<Mac, usize> {
        let macs = self.devices.iter().enumerate();
        macs.flat_map(|(index, device)| device.macs.iter().map(move |mac| (*mac, index))).collect()
    }
}
