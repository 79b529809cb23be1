//! What devices are called: what the router's leases say, what `mod.rs` found out beside them, and what known devices
//! were called before, so that a phone that took another address is recognised. Pure; the main loop owns it and the page
//! asks it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use whichroom_presence::output::{AddressView, UnknownView, View};
use whichroom_wire::aggregator::DeviceState;
use whichroom_wire::{Host, Id, Mac};

use super::{Findings, Wanted};

/// Longest host name that is kept, in characters; DNS allows labels of 63.
const NAME_MAX: usize = 63;

/// What is known of an unknown device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Named {
    /// Its host name: as it told the router, else as a name server says.
    pub host: Option<String>,
    /// Its IP address.
    pub address: Option<String>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct HostNames {
    findings: Findings,
    /// Of the configured devices' addresses. A lease is over after hours; a phone changes its address after weeks.
    remembered: BTreeMap<Mac, String>,
}

impl HostNames {
    /// With what was remembered before a restart.
    pub fn new(remembered: BTreeMap<Mac, String>) -> HostNames {
        HostNames { findings: Findings::new(), remembered }
    }

    /// For the state file.
    pub fn remembered(&self) -> &BTreeMap<Mac, String> {
        &self.remembered
    }

    /// What was found out by now.
    pub fn handle_findings(&mut self, findings: Findings) {
        self.findings = findings;
    }

    /// Remembers what the configured devices are called. Of people of whom only home or away is to be known nothing is
    /// kept, and nothing of addresses that are nobody's any more.
    pub fn remember(&mut self, addresses: &[AddressView]) {
        self.remembered.retain(|mac, _| followed(addresses).any(|address| address.mac == *mac));
        for address in followed(addresses) {
            if let Some(name) = self.name(address.mac, address.host.as_ref()) {
                self.remembered.insert(address.mac, name);
            }
        }
    }

    /// Who is to be looked up: unknown devices, and known ones that may be one of them under another address.
    pub fn wanted(&self, view: &View) -> Vec<Wanted> {
        let unknown = view.unknown.iter().map(|unknown| wanted(unknown.mac, unknown.host.as_ref()));
        let mut all: Vec<Wanted> = unknown.collect();
        if !all.is_empty() {
            all.extend(followed(&view.addresses).map(|known| wanted(known.mac, known.host.as_ref())));
        }
        all
    }

    /// What an unknown device is called, and where it is.
    pub fn of(&self, unknown: &UnknownView) -> Named {
        let lease = unknown.host.as_ref().and_then(|host| host.address.clone());
        let found = self.findings.get(&unknown.mac).and_then(|found| found.address);
        Named {
            host: self.name(unknown.mac, unknown.host.as_ref()),
            address: lease.or_else(|| found.map(|address| address.to_string())),
        }
    }

    /// The one known device that is called the same as this one, which made its address up. A phone is in one place: one
    /// that is here under its own address is another.
    pub fn same_as<'v>(&self, unknown: &UnknownView, view: &'v View) -> Option<&'v Id> {
        if !unknown.mac.is_locally_administered() {
            return None;
        }
        let name = self.name(unknown.mac, unknown.host.as_ref())?;
        let is_called = |address: &&AddressView| {
            let remembered = || self.remembered.get(&address.mac).cloned();
            let known = self.name(address.mac, address.host.as_ref()).or_else(remembered);
            known.is_some_and(|known| known.eq_ignore_ascii_case(&name))
        };
        let mut devices: Vec<&Id> =
            followed(&view.addresses).filter(is_called).map(|address| &address.device).collect();
        devices.sort_unstable();
        devices.dedup();
        let [only] = devices.as_slice() else { return None };
        let is_here =
            view.devices.iter().any(|device| device.id == **only && device.state == DeviceState::Present);
        (!is_here).then_some(*only)
    }

    /// The lease's name before a name server's.
    fn name(&self, mac: Mac, host: Option<&Host>) -> Option<String> {
        let lease = host.and_then(|host| host.name.as_deref()).and_then(clean);
        lease.or_else(|| self.findings.get(&mac)?.name.clone())
    }
}

/// Addresses of devices of whose owners more than home or away may be known.
fn followed(addresses: &[AddressView]) -> impl Iterator<Item = &AddressView> {
    addresses.iter().filter(|address| !address.home_only)
}

fn wanted(mac: Mac, host: Option<&Host>) -> Wanted {
    let address: Option<IpAddr> = host.and_then(|host| host.address.as_deref()?.parse().ok());
    let is_nameless = host.and_then(|host| host.name.as_deref()).and_then(clean).is_none();
    Wanted { mac, address, is_nameless }
}

/// A name on one line that is not absurdly long. `*` is dnsmasq's word for none.
fn clean(name: &str) -> Option<String> {
    let name: String = name.trim().chars().filter(|c| !c.is_control()).take(NAME_MAX).collect();
    (!name.is_empty() && name != "*").then_some(name)
}

#[cfg(test)]
mod tests {
    use whichroom_presence::output::Heard;

    use super::super::Found;
    use super::*;
    use crate::web::example;

    const ANNA_MAC: &str = "02:00:00:00:00:01";

    fn mac(text: &str) -> Mac {
        text.parse().unwrap()
    }

    fn host(mac_text: &str, name: Option<&str>, address: Option<&str>) -> Option<Host> {
        Some(Host { mac: mac(mac_text), name: name.map(str::to_owned), address: address.map(str::to_owned) })
    }

    /// Anna's phone is away; a stranger with a private address is here.
    fn view(stranger: Option<Host>) -> View {
        let mut view = example::view();
        view.unknown.truncate(1);
        view.unknown[0].host = stranger;
        for device in &mut view.devices {
            device.state = DeviceState::Absent;
            device.heard = Heard::default();
        }
        view
    }

    fn findings(mac_text: &str, name: &str) -> Findings {
        let found = Found { name: Some(name.into()), address: "192.168.1.9".parse().ok() };
        Findings::from([(mac(mac_text), found)])
    }

    const STRANGER: &str = "02:00:00:00:00:77";

    #[test]
    fn the_lease_goes_before_the_name_server() {
        let mut names = HostNames::default();
        names.handle_findings(findings(STRANGER, "from-dns"));
        let lease = view(host(STRANGER, Some("from-lease"), Some("192.168.1.7")));
        let named = names.of(&lease.unknown[0]);
        assert_eq!(
            (named.host.as_deref(), named.address.as_deref()),
            (Some("from-lease"), Some("192.168.1.7"))
        );
        let bare = view(host(STRANGER, Some("*"), None));
        let named = names.of(&bare.unknown[0]);
        assert_eq!(
            (named.host.as_deref(), named.address.as_deref()),
            (Some("from-dns"), Some("192.168.1.9"))
        );
        assert!(names.wanted(&bare)[0].is_nameless && !names.wanted(&lease)[0].is_nameless);
        assert_eq!(HostNames::default().of(&view(None).unknown[0]), Named::default());
    }

    #[test]
    fn random_mac_the_same_phone_is_found_by_its_name_from_lease_and_name_server() {
        let stranger = view(host(STRANGER, Some("annas-iphone"), None));
        let unknown = &stranger.unknown[0];
        let anna = "anna-phone".parse().unwrap();
        assert_eq!(HostNames::default().same_as(unknown, &stranger), None);

        let mut by_lease = stranger.clone();
        by_lease.addresses[0].host = host(ANNA_MAC, Some("Annas-iPhone"), None);
        assert_eq!(HostNames::default().same_as(unknown, &by_lease), Some(&anna));

        let mut names = HostNames::default();
        names.handle_findings(findings(ANNA_MAC, "Annas-iPhone"));
        assert_eq!(names.same_as(unknown, &stranger), Some(&anna), "by the name server");

        let mut names = HostNames::default();
        names.remember(&by_lease.addresses);
        let names = HostNames::new(names.remembered().clone());
        assert_eq!(names.same_as(unknown, &stranger), Some(&anna), "the old lease is long over");

        let nameless = view(None);
        let mut names = HostNames::new(names.remembered().clone());
        names.handle_findings(findings(STRANGER, "annas-iphone"));
        assert_eq!(
            names.same_as(&nameless.unknown[0], &nameless),
            Some(&anna),
            "the stranger by the name server"
        );
    }

    #[test]
    fn a_phone_that_is_here_or_a_name_that_several_have_is_no_hint() {
        let mut here = view(host(STRANGER, Some("iPhone"), None));
        here.addresses[0].host = host(ANNA_MAC, Some("iPhone"), None);
        let names = HostNames::default();
        assert!(names.same_as(&here.unknown[0], &here).is_some());
        let mut twins = here.clone();
        let other = AddressView { device: "bob-phone".parse().unwrap(), ..here.addresses[0].clone() };
        twins.addresses.push(other);
        assert_eq!(names.same_as(&twins.unknown[0], &twins), None);
        let anna = here.devices.iter_mut().find(|device| device.id.as_str() == "anna-phone").unwrap();
        anna.state = DeviceState::Present;
        assert_eq!(names.same_as(&here.unknown[0], &here), None);
        let mut made = view(host(STRANGER, Some("iPhone"), None));
        made.unknown[0].mac = mac("00:11:22:00:00:77");
        made.addresses[0].host = host(ANNA_MAC, Some("iPhone"), None);
        assert_eq!(names.same_as(&made.unknown[0], &made), None, "a maker's address does not change");
    }

    #[test]
    fn of_somebody_home_only_nothing_is_asked_kept_or_said() {
        let mut view = view(host(STRANGER, Some("iPhone"), None));
        view.addresses[0].host = host(ANNA_MAC, Some("iPhone"), Some("192.168.1.3"));
        view.addresses[0].home_only = true;
        let mut names = HostNames::new(BTreeMap::from([(mac(ANNA_MAC), "iPhone".to_owned())]));
        names.remember(&view.addresses);
        assert!(names.remembered().is_empty());
        assert_eq!(names.same_as(&view.unknown[0], &view), None);
        assert!(names.wanted(&view).iter().all(|wanted| wanted.mac == mac(STRANGER)));
    }

    proptest::proptest! {
        #[test]
        fn foreign_names_are_one_short_line(name in "\\PC*|[\\x00-\\x20a]{0,90}") {
            if let Some(clean) = clean(&name) {
                proptest::prop_assert!(!clean.is_empty() && clean.chars().count() <= NAME_MAX);
                proptest::prop_assert!(!clean.chars().any(char::is_control));
            }
        }
    }
}
