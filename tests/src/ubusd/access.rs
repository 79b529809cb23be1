//! Who may do what on the bus: the rules of one `acl.d` file, or root.

use std::collections::BTreeMap;

use serde::Deserialize;

/// What the connected clients may do.
#[derive(Debug, Clone, Default)]
pub enum Access {
    /// Everything.
    #[default]
    Root,
    /// What the rules allow.
    Limited(Rules),
    /// The user is not in `/etc/passwd`: disconnected before the greeting.
    UnknownUser,
}

/// Rules as in a file of `/usr/share/acl.d`. A `*` at the end of a pattern matches the rest.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Rules {
    /// Methods that may be called, by object.
    pub access: BTreeMap<String, Methods>,
    /// Paths that may be registered.
    pub publish: Vec<String>,
    /// Objects that may be subscribed to.
    pub subscribe: Vec<String>,
    /// Patterns of events that may be registered for.
    pub listen: Vec<String>,
    /// Events that may be sent.
    pub send: Vec<String>,
}

/// Methods of an object that may be called.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Methods {
    /// Names, or `*`.
    pub methods: Vec<String>,
}

impl Access {
    /// Whether a lookup shows the object.
    pub fn sees(&self, path: &str) -> bool {
        self.allows(|rules| rules.access.keys().any(|pattern| matches(pattern, path)))
    }

    /// Whether the method may be called.
    pub fn calls(&self, path: &str, method: &str) -> bool {
        self.allows(|rules| {
            let mut granted = rules.access.iter().filter(|(pattern, _)| matches(pattern, path));
            granted.any(|(_, granted)| any(&granted.methods, method))
        })
    }

    /// Whether the object may be subscribed to.
    pub fn subscribes(&self, path: &str) -> bool {
        self.allows(|rules| any(&rules.subscribe, path))
    }

    /// Whether an object may be registered at the path.
    pub fn publishes(&self, path: &str) -> bool {
        self.allows(|rules| any(&rules.publish, path))
    }

    /// Whether events may be listened to by this pattern; `a.*` is not granted by a rule for `a.b`.
    pub fn listens(&self, pattern: &str) -> bool {
        self.allows(|rules| any(&rules.listen, pattern))
    }

    /// Whether an event may be sent.
    pub fn sends(&self, event: &str) -> bool {
        self.allows(|rules| any(&rules.send, event))
    }

    fn allows(&self, granted: impl Fn(&Rules) -> bool) -> bool {
        match self {
            Access::Root => true,
            Access::Limited(rules) => granted(rules),
            Access::UnknownUser => false,
        }
    }
}

fn any(patterns: &[String], text: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern, text))
}

/// Whether `text` is `pattern`, or begins with what stands before a `*` at its end.
pub fn matches(pattern: &str, text: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == text, |prefix| text.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_granted_is_denied() {
        let rules: Rules = serde_json::from_str(
            r#"{"user":"agent","access":{"hostapd.*":{"methods":["get_clients"]},"iwinfo":{"methods":["*"]}},
                "subscribe":["hostapd.*"],"listen":["ubus.object.add"]}"#,
        )
        .unwrap();
        let access = Access::Limited(rules);
        assert!(access.sees("hostapd.phy0-ap0") && !access.sees("hostapd") && !access.sees("session"));
        assert!(access.calls("hostapd.phy0-ap0", "get_clients") && access.calls("iwinfo", "info"));
        assert!(!access.calls("hostapd.phy0-ap0", "del_client"));
        assert!(access.listens("ubus.object.add") && !access.listens("ubus.object.*"));
        assert!(access.subscribes("hostapd.phy0-ap0") && !access.publishes("x") && !access.sends("x"));
    }
}
