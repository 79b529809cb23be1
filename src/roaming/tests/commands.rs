//! What advice tells people to paste, run by busybox ash with stand-ins for `uci`, `ubus`, `jsonfilter`, `iwinfo`
//! and `wifi` that know what OpenWrt's know: applied, refused, undone, and put back by itself.

#![expect(clippy::unwrap_used, reason = "a test that is surprised fails, and says where")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use common::*;
use tempfile::TempDir;
use whichroom_roaming::{AdviceKind, Hearing, Step};

/// One line an option; what is staged is a copy until it is committed.
const UCI: &str = r#"
[ "$1" = -q ] && shift
now=$ROOT/config; [ -e $ROOT/staged ] && now=$ROOT/staged
stage() { [ -e $ROOT/staged ] || cp $ROOT/config $ROOT/staged; }
put() {
	stage; key=${1%%=*}
	grep -vF "$key=" $ROOT/staged >$ROOT/next; [ "$1" = "$key" ] || echo "$1" >>$ROOT/next
	sort $ROOT/next >$ROOT/staged
}
case $1 in
get) grep -F "$2=" $now | cut -d= -f2- | grep . ;;
set) case $2 in *' '*) exit 1 ;; *.*.*=*) put "$2" ;; *) exit 1 ;; esac ;;
changes) [ ! -e $ROOT/staged ] || diff $ROOT/config $ROOT/staged ;;
commit) [ ! -e $ROOT/staged ] || mv $ROOT/staged $ROOT/config ;;
revert) rm -f $ROOT/staged ;;
batch) while read -r verb what; do
	case $verb in
	set) put "$(echo "$what" | sed "s/='\(.*\)'$/=\1/")" ;;
	delete) put "$what" ;;
	*) exit 1 ;;
	esac
done ;;
*) exit 1 ;;
esac
"#;

/// Of `network.wireless status` only what is asked for: passphrases are in the rest.
const UBUS: &str = r#"
case "$2 $3" in
"network.wireless status") cat $ROOT/status.json ;;
"hostapd.phy0-ap0 get_status" | "hostapd.phy1-ap0 get_status") [ -e $ROOT/up ] ;;
"usteer get_config") cat $ROOT/usteer.json ;;
*) exit 4 ;;
esac
"#;

/// Knows the one expression, and fails on any other.
const JSONFILTER: &str = r#"
[ "$1" = -e ] || exit 1
ifname=$(echo "$2" | sed -n 's/^@\.\*\.interfaces\[@\.ifname="\([^"]*\)"\]\.section$/\1/p')
[ -n "$ifname" ] || exit 1
awk -v name="\"$ifname\"," '$1 == "\"section\":" { section = $2 } $1 == "\"ifname\":" && $2 == name {
	gsub(/[",]/, "", section); print section }'
"#;

const IWINFO: &str = r#"
case $2 in
txpowerlist) printf '   0 dBm (   1 mW)\n   8 dBm (   6 mW)\n* 18 dBm (  63 mW)\n  20 dBm ( 100 mW)\n' ;;
freqlist) printf '* 2.412 GHz (Channel 1)\n  2.437 GHz (Band: 2.4 GHz, Channel 6)\n  2.462 GHz (Channel 11) [restricted]\n' ;;
esac
"#;

const WIFI: &str = "echo \"wifi $*\" >>$ROOT/log\n";

const USTEER_INIT: &str = r#"
echo "usteer $*" >>$ROOT/log
[ -e $ROOT/takes ] && sed -i 's/"aggressiveness": .*/"aggressiveness": 1,/' $ROOT/usteer.json
exit 0
"#;

const STATUS: &str = r#"{
	"radio0": {
		"interfaces": [
			{
				"section": "default_radio0",
				"ifname": "phy0-ap0",
				"config": { "key": "secret" }
			}
		]
	},
	"radio1": {
		"interfaces": [
			{
				"section": "guest",
				"ifname": "phy1-ap0",
			}
		]
	}
}
"#;

const CONFIG: &str = "usteer.@usteer[0].network=lan
wireless.default_radio0.device=radio0
wireless.default_radio0.ieee80211k=0
wireless.guest.device=radio1
wireless.radio0.channel=auto
wireless.radio0.htmode=HE40
wireless.radio0.txpower=20
wireless.radio1.channel=36
";

/// An access point's shell.
struct Router {
    root: TempDir,
}

impl Router {
    fn new() -> Router {
        let router = Router { root: TempDir::new().unwrap() };
        let programs = [
            ("bin/uci", UCI),
            ("bin/ubus", UBUS),
            ("bin/jsonfilter", JSONFILTER),
            ("bin/iwinfo", IWINFO),
            ("bin/wifi", WIFI),
            ("bin/sleep", ""),
            ("etc/init.d/usteer", USTEER_INIT),
        ];
        for (name, script) in programs {
            let path = router.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, format!("#!/bin/busybox ash\n{script}")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        for (name, text) in [("status.json", STATUS), ("config", CONFIG), ("up", ""), ("log", "")] {
            fs::write(router.path(name), text).unwrap();
        }
        router
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.root.path().join(name)
    }

    /// Pastes commands; gives whether they succeeded, and what they complained of.
    fn paste(&self, script: &str) -> (bool, String) {
        let root = self.root.path();
        let script = script.replace("/etc/", &format!("{}/etc/", root.display()));
        let mut command = Command::new("busybox");
        command.args(["ash", "-c", &script]).env("ROOT", root);
        command.env("PATH", format!("{}:{}", root.join("bin").display(), std::env::var("PATH").unwrap()));
        let output = command.output().unwrap_or_else(|error| panic!("{error}; apt-get install busybox"));
        assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn undo_files(&self) -> usize {
        let is_undo = |path: &Path| path.to_string_lossy().contains("whichroom-undo");
        fs::read_dir(self.path("etc"))
            .unwrap()
            .filter(|entry| is_undo(&entry.as_ref().unwrap().path()))
            .count()
    }

    fn set(&self, key: &str) -> Option<String> {
        let config = self.read("config");
        let line = config.lines().find(|line| line.starts_with(&format!("{key}=")));
        line.and_then(|line| line.split_once('=')).map(|(_, value)| value.to_owned())
    }
}

/// The first step of one kind of advice for a home that needs all of them.
fn step(kind: AdviceKind) -> Step {
    let mut history = History::of(bounce(phone(1), 0, MINUTE, 180, &[1, 2]));
    history.radios = vec![radio(1, 2_412, 20), radio(2, 2_412, 40), radio(3, 2_462, 20)];
    for radio in &mut history.radios {
        (radio.ft, radio.rrm, radio.btm) = (Some(false), Some(false), Some(false));
    }
    let dbm = if kind == AdviceKind::RaisePower { -78 } else { -60 };
    if kind == AdviceKind::RaisePower {
        history.radios.iter_mut().for_each(|radio| radio.txpower_dbm = Some(18));
    }
    for minute in 0..180 {
        let number = 1 + u8::from(minute % 2 == 1);
        history.signals.push(signal(phone(1), number, minute, Hearing::Associated, dbm));
    }
    for minute in 300..330 {
        history.signals.push(signal(phone(2), 1, minute, Hearing::Associated, -70));
        history.signals.push(signal(phone(2), 2, minute, Hearing::Overheard, -50));
    }
    let advice = history.report(0, DAY).advice;
    let found = advice.iter().find(|advice| advice.kind == kind);
    found.unwrap_or_else(|| panic!("{kind:?} in {advice:#?}")).steps[0].clone()
}

#[test]
fn every_kind_is_applied_and_undone_to_the_letter() {
    let expected: [(AdviceKind, &[(&str, &str)]); 4] = [
        (AdviceKind::LowerPower, &[("wireless.radio0.txpower", "18")]),
        (
            AdviceKind::EnableMeasurement,
            &[("wireless.default_radio0.ieee80211k", "1"), ("wireless.default_radio0.bss_transition", "1")],
        ),
        (
            AdviceKind::EnableFastTransition,
            &[("wireless.default_radio0.ieee80211r", "1"), ("wireless.default_radio0.ft_over_ds", "0")],
        ),
        (AdviceKind::MoveChannel, &[("wireless.radio0.channel", "6"), ("wireless.radio0.htmode", "HE20")]),
    ];
    for (kind, options) in expected {
        let (router, step) = (Router::new(), step(kind));
        assert_eq!(router.paste(&step.apply), (true, String::new()), "{kind:?}\n{}", step.apply);
        for (key, value) in options {
            assert_eq!(router.set(key).as_deref(), Some(*value), "{kind:?} {key}");
        }
        assert_eq!(router.read("log"), "wifi reload\n");
        // Pasting it twice does not lose what was there before.
        assert_eq!(router.paste(&step.apply), (true, String::new()));
        assert_eq!(router.paste(&step.undo), (true, String::new()), "{kind:?}\n{}", step.undo);
        assert_eq!(router.read("config"), CONFIG, "{kind:?}");
        assert_eq!((router.read("log").lines().count(), router.undo_files()), (3, 0));
        let (undone, complaint) = router.paste(&step.undo);
        assert!(!undone && complaint.contains("nothing to undo"), "{complaint}");
    }
}

#[test]
fn what_cannot_be_done_changes_nothing_and_says_why() {
    let refused = |step: &Step, router: &Router, why: &str| {
        let (before, log) = (router.read("config"), router.read("log"));
        let (applied, complaint) = router.paste(&step.apply);
        assert!(!applied && complaint.contains(why), "{complaint}");
        assert_eq!((router.read("config"), router.read("log"), router.undo_files()), (before, log, 0));
    };
    let lower = step(AdviceKind::LowerPower);
    let router = Router::new();
    router.write("status.json", &STATUS.replace("phy0-ap0", "wlan7"));
    refused(&lower, &router, "phy0-ap0 is not set up");

    let router = Router::new();
    router.write("config", &CONFIG.replace("device=radio0", "device=radio0 radio1"));
    refused(&lower, &router, "several radios");

    let router = Router::new();
    router.write("staged", &CONFIG.replace("channel=auto", "channel=1"));
    refused(&lower, &router, "uncommitted changes");
    assert!(router.path("staged").exists(), "what somebody staged stays staged");

    // The second of two BSSs is not there: the first one stays as it was, too.
    let both = step(AdviceKind::EnableMeasurement);
    let both = Step { apply: both.apply.replace("in phy0-ap0", "in phy1-ap0 phy0-ap0"), ..both };
    let router = Router::new();
    router.write("status.json", &STATUS.replace("phy0-ap0", "wlan7"));
    refused(&both, &router, "phy0-ap0 is not set up");
    assert!(!router.path("staged").exists());
    let router = Router::new();
    assert_eq!(router.paste(&both.apply), (true, String::new()));
    assert_eq!(router.set("wireless.guest.ieee80211k").as_deref(), Some("1"));
    assert_eq!(router.set("wireless.default_radio0.ieee80211k").as_deref(), Some("1"));
    assert_eq!((router.paste(&both.undo).0, router.read("config")), (true, CONFIG.to_owned()));

    let raise = step(AdviceKind::RaisePower);
    let router = Router::new();
    assert!(raise.apply.contains("txpower=20"));
    assert_eq!(router.paste(&raise.apply), (true, String::new()));
    let louder = Step { apply: raise.apply.replace("20", "22"), ..raise };
    refused(&louder, &Router::new(), "22 dBm is not allowed here, only 20 dBm");

    let channel = step(AdviceKind::MoveChannel);
    let restricted = Step { apply: channel.apply.replace("hannel 6", "hannel 11"), ..channel };
    refused(&restricted, &Router::new(), "channel 11 is not allowed here");
}

/// hostapd that refuses an option takes the BSS down; whoever pasted it may be on that very BSS.
#[test]
fn what_does_not_come_up_again_is_put_back() {
    let (router, step) = (Router::new(), step(AdviceKind::EnableMeasurement));
    fs::remove_file(router.path("up")).unwrap();
    let (applied, complaint) = router.paste(&step.apply);
    assert!(!applied && complaint.contains("did not come up: everything is as it was"), "{complaint}");
    assert_eq!((router.read("config"), router.undo_files()), (CONFIG.to_owned(), 0));
    assert_eq!(router.read("log"), "wifi reload\nwifi reload\n");
}

/// Only a usteer that can be told not to kick is told anything.
#[test]
fn usteer_suggests_or_is_left_alone() {
    let step = step(AdviceKind::Suggest);
    let able = "{\n\t\"roam_scan_snr\": 0,\n\t\"aggressiveness\": 3,\n\t\"min_snr\": 0\n}\n";

    let router = Router::new();
    router.write("usteer.json", able);
    router.write("takes", "");
    assert_eq!(router.paste(&step.apply), (true, String::new()), "{}", step.apply);
    for (option, value) in [("aggressiveness", "1"), ("roam_scan_snr", "-70"), ("min_snr", "0")] {
        assert_eq!(router.set(&format!("usteer.@usteer[0].{option}")).as_deref(), Some(value));
    }
    assert_eq!(router.paste(&step.undo), (true, String::new()));
    assert_eq!((router.read("config"), router.undo_files()), (CONFIG.to_owned(), 0));

    // It knows the option, and does not take it: some releases read it wrongly.
    let router = Router::new();
    router.write("usteer.json", able);
    let (applied, complaint) = router.paste(&step.apply);
    assert!(!applied && complaint.contains("everything is as it was"), "{complaint}");
    assert_eq!(router.read("config"), CONFIG);

    // One that can only kick, or none.
    let router = Router::new();
    router.write("usteer.json", "{\n\t\"roam_scan_snr\": 0\n}\n");
    let (applied, complaint) = router.paste(&step.apply);
    assert!(!applied && complaint.contains("suggest without kicking"), "{complaint}");
    assert_eq!((router.read("config"), router.read("log")), (CONFIG.to_owned(), String::new()));
}
