#!/bin/sh
# Installs the WhichRoom agent on an access point with OpenWrt, or brings it back after an upgrade. Pasted as one line:
#
#   wget -qO- http://SERVER:8738/feed/install.sh | sh -s -- --broker mqtt://SERVER:1883 --name kitchen
#
# The same line again does no harm: what it does not give stays as it was. Nothing is run before the whole script is
# here, for the last line starts it. Everything it runs gets no input: what comes in is the script itself.
#
# shellcheck disable=SC1091 # /etc/openwrt_release is the access point's

# The server writes the address it was asked by here.
FEED='@FEED@'

HELP="WhichRoom's agent for this access point.

  --broker mqtt://HOST[:PORT]  where the MQTT broker is; needed once. mqtts:// is TLS
  --fingerprint SHA256         mqtts: the broker's certificate
  --ca FILE                    mqtts: the authority that signed it, instead: a file here, or its address (http://...)
  --name ID                    this access point in the topics (default: from the host name)
  --site ID                    the home in the topics (default: home)
  --user NAME                  the agent's user at the broker; its password is asked for, unless it is there from an
                               earlier time or in the environment: ... | WHICHROOM_PASSWORD='...' sh -s -- ...
  --package NAME               another package of the feed (default: whichroom-agent, whichroom-agent-tls for mqtts)
  --feed URL                   another feed (default: $FEED)
"

# A certificate has 1 or 2 kB; all public authorities together, 200 kB, are no load for a small flash.
CA_MAX=32768
ROOT="${IPKG_INSTROOT:-}"
SECRET="${WHICHROOM_PASSWORD:-}"
# What is started from here must not inherit it.
unset WHICHROOM_PASSWORD

say() {
	echo "whichroom: $1"
}

fail() {
	echo "whichroom: $1" >&2
	exit "${2:-1}"
}

wrong() {
	fail "$1 (--help lists the options); nothing was changed" 2
}

# An id: what the agent takes as a part of a topic.
check_id() {
	case "$2" in
	*[!a-z0-9_-]*) wrong "$1 $2: an id has 1 to 32 characters out of a-z, 0-9, '_' and '-'" ;;
	esac
	[ "${#2}" -le 32 ] || wrong "$1 $2: an id has 1 to 32 characters"
}

read_arguments() {
	BROKER='' FINGERPRINT='' CA='' NAME='' SITE='' LOGIN='' PACKAGE=''
	while [ $# -gt 0 ]; do
		case "$1" in
		--help | -h) echo "$HELP" && exit 0 ;;
		--broker | --fingerprint | --ca | --name | --site | --user | --package | --feed)
			[ -n "${2:-}" ] || wrong "$1 needs a value"
			;;
		--password*) wrong "arguments are shown to everyone: the password is asked for, or comes in WHICHROOM_PASSWORD" ;;
		*) wrong "$1 is unknown" ;;
		esac
		case "$1$2" in
		--user*"
"*) wrong "--user has a line break in it" ;;
		--user*) ;;
		*[[:space:]\'\"]*) wrong "$1: blanks and quotes have no place in its value" ;;
		esac
		case "$1" in
		--broker) BROKER="$2" ;;
		--fingerprint) FINGERPRINT="$2" ;;
		--ca) CA="$2" ;;
		--name) NAME="$2" ;;
		--site) SITE="$2" ;;
		--user) LOGIN="$2" ;;
		--package) PACKAGE="$2" ;;
		--feed) FEED="${2%/}" ;;
		esac
		shift 2
	done
	case "$BROKER" in
	'' | mqtt://?* | mqtts://?*) ;;
	*) wrong "--broker $BROKER: an address looks like mqtt://192.168.1.2:1883" ;;
	esac
	case "$BROKER" in *@*) wrong "--broker: user and password do not belong in the address: use --user" ;; esac
	check_id --name "$NAME"
	check_id --site "$SITE"
	case "$FINGERPRINT" in *[!0-9A-Fa-f:]*) wrong "--fingerprint $FINGERPRINT: not the hexadecimal digits of a SHA-256" ;; esac
	[ -z "$CA" ] || [ -z "$FINGERPRINT" ] || wrong "--ca beside --fingerprint: the agent takes one of them"
	case "$CA" in
	'' | /* | http://?* | https://?*) ;;
	*) wrong "--ca $CA: a file with its full path, or an address with http://" ;;
	esac
	case "$PACKAGE" in
	'') ;;
	whichroom-agent*[!a-z0-9-]*) wrong "--package $PACKAGE: that is no name of a package" ;;
	whichroom-agent*) ;;
	*) wrong "--package $PACKAGE: WhichRoom's packages begin with whichroom-agent" ;;
	esac
	case "$FEED" in
	http://?* | https://?*) ;;
	*) wrong "--feed is missing: the address of the folder that install.sh came from" ;;
	esac
}

# Sets MANAGER and ARCHITECTURE.
detect() {
	DISTRIB_ARCH='' DISTRIB_RELEASE=''
	[ -r "$ROOT/etc/openwrt_release" ] || fail "/etc/openwrt_release is missing: paste the line on an access point with OpenWrt"
	. "$ROOT/etc/openwrt_release"
	if command -v apk >/dev/null; then
		MANAGER=apk
		ARCHITECTURE="$(apk --print-arch 2>/dev/null)"
	elif command -v opkg >/dev/null; then
		MANAGER=opkg
		ARCHITECTURE=''
	else
		fail "neither opkg nor apk is here: this image was built without a package manager; build the agent into it"
	fi
	ARCHITECTURE="${DISTRIB_ARCH:-$ARCHITECTURE}"
	[ -n "$ARCHITECTURE" ] || fail "/etc/openwrt_release names no DISTRIB_ARCH: this release is too old"
	say "OpenWrt ${DISTRIB_RELEASE:-of unknown release}, $ARCHITECTURE, $MANAGER"
}

# The section of the agent in /etc/config/whichroom, also where it has no name.
find_section() {
	SECTION="$(uci -q show whichroom | sed -n 's/^whichroom\.\([^.=]*\)=agent$/\1/p' | head -n 1)"
}

get() {
	[ -n "$SECTION" ] && uci -q get "whichroom.$SECTION.$1"
}

# Sets PACKAGE, from the address of the broker.
find_what_tls_needs() {
	case "$1" in
	'') wrong "--broker is missing: where the MQTT broker is, such as mqtt://192.168.1.2:1883" ;;
	mqtts://*)
		PACKAGE="${PACKAGE:-whichroom-agent-tls}"
		[ -n "$FINGERPRINT$CA$(get fingerprint)$(get ca)" ] ||
			wrong "for mqtts:// the broker has to be known: give --fingerprint or --ca"
		;;
	*)
		PACKAGE="${PACKAGE:-whichroom-agent}"
		[ -z "$FINGERPRINT$CA" ] || wrong "--fingerprint and --ca are for a broker at mqtts://"
		;;
	esac
	case "$CA" in /*) [ -r "$CA" ] || wrong "--ca $CA: there is no such file here" ;; esac
}

# Before anything is changed: nobody wants to answer after a long installation, or to have half of one.
find_what_is_missing() {
	find_section
	find_what_tls_needs "${BROKER:-$(get broker)}"
	if [ -z "$LOGIN" ]; then
		[ -z "$SECRET" ] || wrong "WHICHROOM_PASSWORD is there without --user"
		return 0
	fi
	case "$SECRET" in *"
"*) wrong "WHICHROOM_PASSWORD has a line break in it" ;; esac
	[ -z "$SECRET" ] || return 0
	[ "$(get username)" = "$LOGIN" ] && [ -n "$(get password)" ] && return 0
	ask_password
}

ask_password() {
	(: </dev/tty) 2>/dev/null ||
		fail "there is no terminal to ask for the password of $LOGIN: write ... | WHICHROOM_PASSWORD='...' sh -s -- ..."
	printf 'Password of %s at the broker, which is not shown: ' "$LOGIN" >/dev/tty
	# shellcheck disable=SC3045 # busybox has -s
	IFS= read -r -s SECRET </dev/tty
	echo >/dev/tty
	[ -n "$SECRET" ] || fail "no password was given; nothing was changed"
}

# Downloads to a file.
fetch() {
	wget -q -O "$2" "$1" </dev/null 2>/dev/null && [ -s "$2" ]
}

fetch_feed() {
	TEMPORARY="$(mktemp -d "$ROOT/tmp/whichroom.XXXXXX")" || fail "/tmp cannot be written"
	trap 'rm -rf "$TEMPORARY"' EXIT
	case "$MANAGER" in
	opkg) KEY=whichroom-feed.pub INDEX="ipk/$ARCHITECTURE/Packages" ;;
	apk) KEY=whichroom-feed.pem INDEX="apk/$ARCHITECTURE/packages.adb" ;;
	esac
	fetch "$FEED/$KEY" "$TEMPORARY/$KEY" ||
		fail "$FEED/$KEY cannot be had: is whichroom running there, with [feed] in whichroom.toml, and the port open?"
	fetch "$FEED/$INDEX" "$TEMPORARY/index" ||
		fail "the feed has nothing for $ARCHITECTURE: on the server run whichroom-package build --target $ARCHITECTURE"
	case "$CA" in http*) ;; *) return 0 ;; esac
	fetch "$CA" "$TEMPORARY/ca" || fail "$CA cannot be had"
	[ "$(wc -c <"$TEMPORARY/ca")" -le "$CA_MAX" ] ||
		fail "$CA is too large to keep here: install ca-bundle, and give --ca /etc/ssl/certs/ca-certificates.crt"
}

add_opkg_feed() {
	local line="src/gz whichroom $FEED/ipk/$ARCHITECTURE" feeds="$ROOT/etc/opkg/customfeeds.conf"
	opkg-key add "$TEMPORARY/$KEY" || fail "opkg-key does not take the feed's key"
	[ -f "$feeds" ] || { mkdir -p "${feeds%/*}" && : >"$feeds"; } || fail "$feeds cannot be written"
	grep -qxF "$line" "$feeds" && return 0
	{ grep -v '^src/gz whichroom ' "$feeds"; echo "$line"; } >"$TEMPORARY/feeds"
	cat "$TEMPORARY/feeds" >"$feeds" || fail "$feeds cannot be written: is the flash full?"
}

add_apk_feed() {
	local keys="$ROOT/etc/apk/keys" lists="$ROOT/etc/apk/repositories.d"
	if mkdir -p "$keys" "$lists" && cp "$TEMPORARY/$KEY" "$keys/$KEY" &&
		echo "$FEED/$INDEX" >"$lists/whichroom.list"; then return 0; fi
	fail "/etc/apk cannot be written: is the flash full?"
}

# The package with TLS and the one without take each other's place. What is configured stays.
remove_other_package() {
	local other=whichroom-agent-tls
	[ "$PACKAGE" != "$other" ] || other=whichroom-agent
	[ "$PACKAGE" = whichroom-agent ] || [ "$other" = whichroom-agent ] || return 0
	case "$MANAGER" in
	opkg) [ ! -e "$ROOT/usr/lib/opkg/info/$other.control" ] || opkg remove "$other" ;;
	apk) [ ! -e "$ROOT/lib/apk/packages/$other.list" ] || apk del "$other" ;;
	esac || fail "$MANAGER could not remove $other, whose place $PACKAGE takes: it says why above"
}

# Other feeds may be out of reach, where an access point has no way out: that is no reason to stop.
install_package() {
	"add_${MANAGER}_feed"
	"$MANAGER" update || say "not every feed could be read; going on with what there is"
	remove_other_package
	case "$MANAGER" in
	opkg) opkg install "$PACKAGE" ;;
	apk) apk add --upgrade "$PACKAGE" ;;
	esac || fail "$MANAGER could not install $PACKAGE: it says why above"
	if [ -f "$ROOT/etc/config/whichroom" ] && [ -x "$ROOT/etc/init.d/whichroom-agent" ]; then return 0; fi
	fail "$PACKAGE is there without its files: $MANAGER remove $PACKAGE, then paste the line again"
}

# A command for `uci batch`. Here documents, since arguments of programs are shown to everyone.
put() {
	cat <<-END
		set whichroom.$SECTION.$1='$(quote "$2")'
	END
}

quote() {
	sed "s/'/'\\\\''/g" <<-END
		$1
	END
}

# The agent takes one or the other.
one_of_two() {
	put "$1" "$2"
	[ -z "$(get "$3")" ] || echo "delete whichroom.$SECTION.$3"
}

# What is for mqtts:// alone, the agent refuses without it.
leave_tls() {
	local option
	for option in ca fingerprint cert key; do
		[ -z "$(get "$option")" ] || echo "delete whichroom.$SECTION.$option"
	done
}

# The authority's certificate stays over an upgrade, as everything in /etc/whichroom.
keep_authority() {
	case "$CA" in http*) ;; *) return 0 ;; esac
	CA="$ROOT/etc/whichroom/broker-ca.pem"
	if mkdir -p "${CA%/*}" && cat "$TEMPORARY/ca" >"$CA" && chmod 0644 "$CA"; then return 0; fi
	fail "$CA cannot be written: is the flash full?"
}

changes() {
	[ "$SECTION" != agent ] || echo 'set whichroom.agent=agent'
	[ -z "$BROKER" ] || put broker "$BROKER"
	[ -z "$FINGERPRINT" ] || one_of_two fingerprint "$FINGERPRINT" ca
	[ -z "$CA" ] || one_of_two ca "$CA" fingerprint
	case "$BROKER" in mqtt://*) leave_tls ;; esac
	[ -z "$SITE" ] || put site "$SITE"
	[ -z "$NAME" ] || put name "$NAME"
	[ -z "$LOGIN" ] || put username "$LOGIN"
	[ -z "$SECRET" ] || put password "$SECRET"
	# The agent takes one or the other.
	[ -z "$LOGIN" ] || [ -z "$(get credentials)" ] || echo "delete whichroom.$SECTION.credentials"
	[ -z "$(get enabled)" ] || put enabled 1
	echo 'commit whichroom'
}

configure() {
	local changes
	find_section
	SECTION="${SECTION:-agent}"
	keep_authority
	changes="$(changes)"
	uci -q batch >/dev/null <<-END
		$changes
	END
	chmod 0600 "$ROOT/etc/config/whichroom"
	took broker "$BROKER"
	took fingerprint "$FINGERPRINT"
	took ca "$CA"
	took site "$SITE"
	took name "$NAME"
	took username "$LOGIN"
	took password "$SECRET"
}

# `uci batch` says nothing of what it did not do.
took() {
	[ -z "$2" ] || [ "$(get "$1")" = "$2" ] ||
		fail "uci did not take option '$1': see whether /etc/config/whichroom can be read (uci show) and the flash is full"
}

start_agent() {
	local service="$ROOT/etc/init.d/whichroom-agent"
	"$service" enable
	"$service" restart || fail "the agent does not start; /etc/init.d/whichroom-agent check says why"
	sleep 1
	pidof whichroom-agent >/dev/null ||
		fail "the agent does not run; /etc/init.d/whichroom-agent check says why"
	say "the agent '$(get name)' runs and reports to $(get broker); /etc/init.d/whichroom-agent check says what it sees"
}

main() {
	read_arguments "$@"
	detect
	find_what_is_missing
	fetch_feed
	install_package
	configure
	start_agent
}

main "$@" </dev/null
