//! Advice as commands for the access point's shell (busybox ash), and what takes them back.
//!
//! What an access point says of a BSS names its interface, not the section of `/etc/config/wireless` it comes from;
//! so the commands ask netifd for it on the spot. They change nothing when there are uncommitted changes of somebody
//! else, keep what was there in a file for the undo, and put it back themselves if the BSS does not come up again.
//! They hold no tabs, which an interactive shell takes for completion. Interface names come over the network: one that
//! is not plain has no commands.

use serde::Serialize;
use whichroom_wire::Id;

/// What to paste on one access point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The access point.
    pub ap: Id,
    /// What it does, in a line.
    pub what: String,
    /// Commands that do it.
    pub apply: String,
    /// Commands that undo it.
    pub undo: String,
}

/// An option of `/etc/config/wireless`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wireless {
    /// Of the radio: `wifi-device`.
    Radio(&'static str),
    /// Of the BSS: `wifi-iface`.
    Iface(&'static str),
}

impl Wireless {
    /// Its name in the script, where sections are variables.
    fn path(self) -> String {
        match self {
            Wireless::Radio(option) => format!("wireless.$radio.{option}"),
            Wireless::Iface(option) => format!("wireless.$iface.{option}"),
        }
    }
}

/// What must hold before anything is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guard {
    /// Nothing in particular.
    None,
    /// The country and the hardware allow this transmit power.
    AllowsPower(i8),
    /// The country and the hardware allow this channel.
    AllowsChannel(u32),
}

/// Whether an interface name may stand in a command.
pub(super) fn is_plain(ifname: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=15).contains(&ifname.len()) && ifname.bytes().all(plain) && !ifname.starts_with('-')
}

/// The same change of `/etc/config/wireless` for some BSSs of an access point. `name` tells undo files of different
/// steps apart.
pub(super) fn wireless(
    ap: &Id,
    ifnames: &[&str],
    name: &str,
    what: String,
    guard: Guard,
    options: &[(Wireless, String)],
) -> Option<Step> {
    let ifnames: Vec<&str> = ifnames.iter().copied().filter(|ifname| is_plain(ifname)).collect();
    let undo = format!("/etc/whichroom-undo-{name}-{}", ifnames.first()?);
    let paths: Vec<String> = options.iter().map(|(option, _)| format!("\"{}\"", option.path())).collect();
    let sets = options.iter().map(|(option, value)| format!("uci set \"{}={value}\"", option.path()));
    let apply = format!(
        r#"( # on {ap}: {what}
undo={undo}
stop() {{ echo "$*: nothing changed" >&2; exit 1; }}
[ -z "$(uci changes wireless)" ] || stop "wireless has uncommitted changes, commit or revert them first"
stop() {{ uci revert wireless; echo "$*: everything is as it was" >&2; exit 1; }}
before=
for ifname in {ifnames}; do
    iface=$(ubus call network.wireless status | jsonfilter -e "@.*.interfaces[@.ifname=\"$ifname\"].section")
    radio=$(uci -q get "wireless.$iface.device")
    case "$radio" in
    '') stop "$ifname is not set up in /etc/config/wireless" ;;
    *' '*) stop "$ifname has several radios ($radio)" ;;
    esac
{guard}    for option in {paths}; do
        old=$(uci -q get "$option") && old="set $option='$old'" || old="delete $option"
        before="$before$old
"
    done
    {sets} || stop "uci refused"
done
[ -e "$undo" ] || printf %s "$before" >"$undo"
uci commit wireless && wifi reload
tries=0; sleep 5
for ifname in {ifnames}; do
    until ubus call "hostapd.$ifname" get_status >/dev/null 2>&1; do
        tries=$((tries + 1)); sleep 2
        [ $tries -lt 30 ] && continue
        uci -q batch <"$undo"; uci commit wireless && wifi reload && rm "$undo"
        stop "$ifname did not come up"
    done
done
)
"#,
        ifnames = ifnames.join(" "),
        guard = guard.script(),
        paths = paths.join(" "),
        sets = sets.collect::<Vec<_>>().join(" &&\n        "),
    );
    let undo = undo_script(&undo, "wireless", "wifi reload");
    Some(Step { ap: ap.clone(), what, apply, undo })
}

/// A change of `/etc/config/usteer` that lets it suggest and never kick, where its version can.
pub(super) fn usteer(ap: &Id, what: String, options: &[(&str, String)]) -> Step {
    let undo = "/etc/whichroom-undo-usteer";
    let paths: Vec<String> =
        options.iter().map(|(option, _)| format!("'usteer.@usteer[0].{option}'")).collect();
    let sets = options.iter().map(|(option, value)| format!("uci set 'usteer.@usteer[0].{option}={value}'"));
    let sets = sets.collect::<Vec<_>>().join(" &&\n    ");
    let apply = format!(
        r#"( # on {ap}: {what}
undo={undo}
stop() {{ echo "$*" >&2; exit 1; }}
config() {{ ubus call usteer get_config 2>/dev/null; }}
config | grep -q '"aggressiveness"' || stop "no usteer here that can suggest without kicking: nothing changed"
[ -z "$(uci changes usteer)" ] || stop "usteer has uncommitted changes: commit or revert them first"
[ -e "$undo" ] || for option in {paths}; do
    old=$(uci -q get "$option") && echo "set $option='$old'" || echo "delete $option"
done >"$undo"
{sets} &&
    uci commit usteer && /etc/init.d/usteer reload || {{ uci revert usteer; stop "that failed: nothing changed"; }}
sleep 5
config | grep -q '"aggressiveness": 1,\{{0,1\}}$' && exit 0
uci -q batch <"$undo"; uci commit usteer && /etc/init.d/usteer reload && rm "$undo"
stop "this usteer does not take aggressiveness 1: everything is as it was"
)
"#,
        paths = paths.join(" "),
    );
    let undo = undo_script(undo, "usteer", "/etc/init.d/usteer reload");
    Step { ap: ap.clone(), what, apply, undo }
}

fn undo_script(file: &str, package: &str, reload: &str) -> String {
    format!(
        r#"( undo={file}
[ -e "$undo" ] || {{ echo "nothing to undo here" >&2; exit 1; }}
uci -q batch <"$undo"; uci commit {package} && {reload} && rm "$undo"
)
"#
    )
}

impl Guard {
    fn script(self) -> String {
        match self {
            Guard::None => String::new(),
            Guard::AllowsPower(dbm) => format!(
                r#"    limit=$(iwinfo "$ifname" txpowerlist | sed -n 's/^[* ]*\([0-9]\{{1,2\}}\) dBm.*/\1/p' | sort -n | tail -n 1)
    [ "${{limit:-0}}" -ge {dbm} ] || stop "{dbm} dBm is not allowed here, only ${{limit:-an unknown number of}} dBm"
"#
            ),
            Guard::AllowsChannel(channel) => format!(
                r#"    iwinfo "$ifname" freqlist | grep -v restricted | grep -q "Channel {channel})" || stop "channel {channel} is not allowed here"
"#
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_name_that_is_no_name_gets_no_commands() {
        let ap: Id = "kitchen".parse().unwrap();
        let step = |ifname| wireless(&ap, &[ifname], "x", String::new(), Guard::None, &[]);
        for ifname in ["", "a b", "$(reboot)", "a;b", "a\"]", "-rf", "0123456789abcdef", "a'b", "a\nb"] {
            assert_eq!(step(ifname), None, "{ifname}");
        }
        for ifname in ["phy0-ap0", "wlan0-1", "phy0.1-ap0", "ap-mld0"] {
            assert!(step(ifname).is_some_and(|step| !step.apply.contains('\t')), "{ifname}");
        }
    }
}
