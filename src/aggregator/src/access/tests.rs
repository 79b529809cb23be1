//! The sign-in from its first code to its last session, with time and randomness given.

use super::secret::SALT;
use super::*;

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 1, 2));
const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 1, 3));

fn at(ms: u64) -> Now {
    Now { ms, unix_s: 1_800_000_000 + i64::try_from(ms / 1_000).unwrap() }
}

fn hash(secret: &str) -> Hash {
    Hash::new(secret, &[3; SALT]).unwrap()
}

fn token(name: &str, scope: Scope) -> (String, Token) {
    let name: Id = name.parse().unwrap();
    let text = new_token(&name, &[9; RANDOM]);
    (text.clone(), Token { name, hash: hash(&text), scope })
}

fn fresh() -> Access {
    let mut access = Access::new([1; RANDOM], Password::Unset, Vec::new(), Vec::new());
    access.want_code();
    access
}

fn offered(access: &mut Access, now: Now, seed: u8) -> Option<String> {
    access.offer_code(now, || Ok([seed; CODE]))
}

#[test]
fn a_code_sets_one_password_and_then_the_password_signs_in() {
    let mut access = fresh();
    let code = offered(&mut access, at(0), 1).unwrap();
    assert_eq!(offered(&mut access, at(1), 2), None, "one at a time");
    assert_eq!(access.take_code(HERE, "AAAA-AAAA", at(1)), Err(Denied::Wrong));
    assert_eq!(access.begin_sign_in(HERE, at(1)), Err(Denied::NoPassword));
    assert_eq!(access.take_code(HERE, &code, at(2)), Ok(()));
    assert_eq!(access.take_code(THERE, &code, at(2)), Err(Denied::NoCode), "used");
    let cookie = access.set_password(hash("password1"), &[4; RANDOM], at(3));
    assert!(access.visit(&cookie, at(4)).is_some());
    access.want_code();
    assert_eq!(offered(&mut access, at(CODE_EVERY_MS * 2), 3), None, "there is a password");
    assert_eq!(access.take_code(THERE, &code, at(5)), Err(Denied::Wrong));

    let known = access.begin_sign_in(HERE, at(5)).unwrap();
    let other = access.sign_in(HERE, &known, &[5; RANDOM], at(5)).unwrap();
    assert!(access.visit(&cookie, at(6)).is_some() && access.visit(&other, at(6)).is_some());
    assert!(access.visit("", at(6)).is_none() && access.visit("nonsense", at(6)).is_none());
}

#[test]
fn nobody_waits_for_a_code_unless_asked() {
    let mut access = Access::new([1; RANDOM], Password::Unset, Vec::new(), Vec::new());
    assert_eq!(offered(&mut access, at(0), 1), None);
    assert_eq!(access.take_code(HERE, "", at(0)), Err(Denied::NoCode));
    assert!(offered(&mut access, at(0), 1).is_some(), "somebody asked");
}

#[test]
fn wrong_codes_void_it_and_the_next_one_does_not_fill_the_log() {
    let mut access = fresh();
    let first = offered(&mut access, at(0), 1).unwrap();
    for guess in 0..u32::from(CODE_WRONG) {
        let peer = IpAddr::V4((0xc0a8_0200 + guess).into());
        assert_eq!(access.take_code(peer, "AAAA-AAAA", at(1)), Err(Denied::Wrong));
    }
    assert_eq!(access.take_code(HERE, &first, at(2)), Err(Denied::NoCode));
    assert_eq!(offered(&mut access, at(CODE_EVERY_MS - 1), 2), None);
    let second = offered(&mut access, at(CODE_EVERY_MS), 2).unwrap();
    assert_ne!(first, second);
    assert_eq!(access.take_code(THERE, &second, at(CODE_EVERY_MS)), Ok(()));
}

#[test]
fn a_code_nobody_used_is_void_and_not_followed_by_another_until_somebody_asks() {
    let mut access = fresh();
    let code = offered(&mut access, at(0), 1).unwrap();
    assert_eq!(offered(&mut access, at(CODE_MS), 2), None);
    assert_eq!(access.take_code(HERE, &code, at(CODE_MS)), Err(Denied::NoCode));
    assert!(offered(&mut access, at(CODE_MS), 2).is_some(), "trying is asking");
}

#[test]
fn guessing_is_slow_for_who_guesses_and_for_nobody_else() {
    let mut access = Access::new([1; RANDOM], Password::Set(hash("password1")), Vec::new(), Vec::new());
    let mut tries = 0;
    while access.begin_sign_in(HERE, at(0)).is_ok() {
        tries += 1;
    }
    assert_eq!(tries, 5);
    assert_eq!(access.begin_sign_in(HERE, at(0)), Err(Denied::TooOften { retry_s: 60 }));
    let known = access.begin_sign_in(THERE, at(0)).unwrap();
    assert!(access.sign_in(THERE, &known, &[4; RANDOM], at(0)).is_some());
    for _ in 0..20 {
        let known = access.begin_sign_in(THERE, at(0)).unwrap();
        assert!(access.sign_in(THERE, &known, &[4; RANDOM], at(0)).is_some(), "who knows does not guess");
    }
}

#[test]
fn another_password_signs_everybody_out() {
    let mut access = fresh();
    let code = offered(&mut access, at(0), 1).unwrap();
    access.take_code(HERE, &code, at(0)).unwrap();
    access.set_password(hash("password1"), &[3; RANDOM], at(0));
    let known = access.begin_sign_in(HERE, at(0)).unwrap();
    let cookie = access.sign_in(HERE, &known, &[4; RANDOM], at(0)).unwrap();
    let (digest, _) = access.visit(&cookie, at(0)).unwrap();
    assert!(!access.handle_password(Password::Set(hash("password1"))), "the same");
    assert!(access.is_still_in(&Visitor::Session(digest), at(0)));

    assert!(access.handle_password(Password::Unset));
    assert!(access.visit(&cookie, at(0)).is_none());
    assert!(!access.is_still_in(&Visitor::Session(digest), at(0)));
    assert!(access.sign_in(HERE, &known, &[5; RANDOM], at(0)).is_none(), "verified, and changed meanwhile");
    assert!(offered(&mut access, at(0), 1).is_some(), "a reset shows a code at once");
}

#[test]
fn a_password_that_does_not_read_lets_nobody_in_and_is_not_replaced() {
    let mut access = Access::new([1; RANDOM], Password::Unreadable("x".into()), Vec::new(), Vec::new());
    access.want_code();
    assert_eq!(offered(&mut access, at(0), 1), None);
    assert_eq!(access.take_code(HERE, "2222-2222", at(0)), Err(Denied::Unreadable("x".into())));
    assert_eq!(access.begin_sign_in(HERE, at(0)), Err(Denied::Unreadable("x".into())));
}

#[test]
fn sessions_end_unused_or_old_and_are_bounded() {
    let mut access = Access::new([1; RANDOM], Password::Set(hash("password1")), Vec::new(), Vec::new());
    let day = |days: u64| at(days * 86_400_000);
    let cookie = access.add_session(&[4; RANDOM], day(0));
    assert!(!access.visit(&cookie, day(0)).unwrap().1, "nothing new to write down");
    assert!(access.visit(&cookie, day(29)).unwrap().1);
    assert!(access.visit(&cookie, day(58)).is_some(), "it was used");
    assert!(access.visit(&cookie, day(88)).is_none(), "unused for 30 days");

    let cookie = access.add_session(&[5; RANDOM], day(100));
    let last = (100..280).step_by(10).filter(|&days| access.visit(&cookie, day(days)).is_some()).last();
    assert_eq!(last, Some(270), "180 days, however much it is used");
    assert!(access.visit(&cookie, day(280)).is_none());

    let mut cookies = Vec::new();
    for number in 0..=SESSIONS_MAX {
        let number = u8::try_from(number).unwrap();
        cookies.push(access.add_session(&[number; RANDOM], day(300 + u64::from(number) / 32)));
    }
    assert_eq!(access.sessions().len(), SESSIONS_MAX);
    assert!(access.visit(&cookies[0], day(302)).is_none() && access.visit(&cookies[1], day(302)).is_some());
}

#[test]
fn signing_out_ends_one_session_or_all() {
    let mut access = Access::new([1; RANDOM], Password::Set(hash("password1")), Vec::new(), Vec::new());
    let [one, other, third] = [4, 5, 6].map(|seed| access.add_session(&[seed; RANDOM], at(0)));
    let (digest, _) = access.visit(&one, at(1)).unwrap();
    access.sign_out(&digest);
    assert!(access.visit(&one, at(1)).is_none() && access.visit(&other, at(1)).is_some());
    access.sign_out_all();
    assert!(access.visit(&other, at(1)).is_none() && access.visit(&third, at(1)).is_none());
}

#[test]
fn a_token_is_verified_once_and_then_known() {
    let (text, token) = token("prometheus", Scope::Read);
    let mut access = Access::new([1; RANDOM], Password::Unset, Vec::new(), vec![token.clone()]);
    let Ok(Look::Verify(looked)) = access.look_up(HERE, &text, at(0)) else { panic!() };
    assert_eq!(looked, token);
    assert!(access.handle_verified(HERE, &token, &text));
    for _ in 0..100 {
        assert!(matches!(access.look_up(HERE, &text, at(1)), Ok(Look::Known(known)) if known == token));
    }
    assert!(!Visitor::Token(token.clone()).may_change());
    assert!(access.is_still_in(&Visitor::Token(token.clone()), at(1)));

    let wrong = format!("{text}x");
    let tries =
        (0..100).filter(|_| matches!(access.look_up(HERE, &wrong, at(2)), Ok(Look::Verify(_)))).count();
    assert_eq!(tries, 5, "guessing costs no more hashing than this");
    assert!(matches!(access.look_up(HERE, &text, at(2)), Ok(Look::Known(_))), "who knows still comes in");

    access.handle_tokens(Vec::new());
    assert!(!access.is_still_in(&Visitor::Token(token.clone()), at(3)));
    assert_eq!(access.look_up(THERE, &text, at(3)).unwrap_err(), Denied::Wrong);
    assert!(!access.handle_verified(THERE, &token, &text), "verified, and taken out meanwhile");
}

#[test]
fn a_changed_hash_or_scope_is_another_token() {
    let (text, read) = token("cli", Scope::Read);
    let mut access = Access::new([1; RANDOM], Password::Unset, Vec::new(), vec![read.clone()]);
    access.handle_verified(HERE, &read, &text);
    let all = Token { scope: Scope::All, ..read.clone() };
    access.handle_tokens(vec![all.clone()]);
    assert!(matches!(access.look_up(HERE, &text, at(0)), Ok(Look::Verify(token)) if token == all));
    assert!(Visitor::Token(all).may_change() && !access.is_still_in(&Visitor::Token(read), at(0)));
}

#[test]
fn what_names_no_token_costs_nothing_and_counts() {
    let (_, token) = token("cli", Scope::Read);
    let mut access = Access::new([1; RANDOM], Password::Unset, Vec::new(), vec![token]);
    for shown in ["", ".", "other.secret", "cli", "CLI.x"] {
        assert_eq!(access.look_up(HERE, shown, at(0)).unwrap_err(), Denied::Wrong, "{shown}");
    }
    assert!(matches!(access.look_up(HERE, "", at(0)), Err(Denied::TooOften { .. })));
    let long = format!("cli.{}", "x".repeat(SECRET_MAX));
    assert_eq!(access.look_up(THERE, &long, at(0)).unwrap_err(), Denied::Wrong);
}

/// What somebody does who has no code, no password and no token.
#[derive(Debug, Clone)]
enum Step {
    Wait(u64),
    Code(u8, String),
    SignIn(u8),
    Cookie(String),
    Token(u8, String),
    Ask,
}

fn step() -> impl proptest::strategy::Strategy<Value = Step> {
    use proptest::prelude::*;
    prop_oneof![
        (0..20 * 60_000u64).prop_map(Step::Wait),
        (any::<u8>(), "[2-9A-Za-z-]{0,9}").prop_map(|(peer, text)| Step::Code(peer, text)),
        any::<u8>().prop_map(Step::SignIn),
        "[A-Za-z0-9_-]{0,43}".prop_map(Step::Cookie),
        (any::<u8>(), "(cli|other)?\\.?[A-Za-z0-9_-]{0,43}").prop_map(|(peer, text)| Step::Token(peer, text)),
        Just(Step::Ask),
    ]
}

proptest::proptest! {
    /// Whatever a stranger does: no session, no known token, at most five guesses for each code, and no more than one
    /// code a minute in the log.
    #[test]
    fn a_stranger_gets_nowhere(has_password: bool, steps in proptest::collection::vec(step(), 0..200)) {
        use std::sync::LazyLock;
        static PASSWORD: LazyLock<Hash> = LazyLock::new(|| hash("password1"));
        static TOKEN: LazyLock<(String, Token)> = LazyLock::new(|| token("cli", Scope::All));
        let password = if has_password { Password::Set(PASSWORD.clone()) } else { Password::Unset };
        let mut access = Access::new([1; RANDOM], password, Vec::new(), vec![TOKEN.1.clone()]);
        let (mut ms, mut codes, mut seed) = (0, 0_u64, 0_u8);
        for step in steps {
            match step {
                Step::Wait(wait_ms) => ms += wait_ms,
                Step::Code(peer, text) => {
                    let peer = IpAddr::V4([10, 0, 0, peer].into());
                    let typed: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
                    let is_right = access.code.as_ref().is_some_and(|offered| {
                        offered.code.reveal().replace('-', "") == typed.to_ascii_uppercase()
                    });
                    let taken = access.take_code(peer, &text, at(ms));
                    proptest::prop_assert!(taken.is_err() || is_right);
                }
                Step::SignIn(peer) => {
                    // Without the password nobody comes back with the verified hash.
                    let begun = access.begin_sign_in(IpAddr::V4([10, 0, 0, peer].into()), at(ms));
                    proptest::prop_assert!(begun.is_err() || has_password);
                }
                Step::Cookie(cookie) => proptest::prop_assert!(access.visit(&cookie, at(ms)).is_none()),
                Step::Token(peer, shown) => {
                    let looked = access.look_up(IpAddr::V4([10, 0, 0, peer].into()), &shown, at(ms));
                    proptest::prop_assert!(!matches!(looked, Ok(Look::Known(_))));
                }
                Step::Ask => access.want_code(),
            }
            seed = seed.wrapping_add(1);
            codes += u64::from(offered(&mut access, at(ms), seed).is_some());
            proptest::prop_assert!(access.sessions().is_empty());
            proptest::prop_assert!(access.code.as_ref().is_none_or(|offered| offered.wrong < CODE_WRONG));
        }
        proptest::prop_assert!(codes <= 1 + ms / CODE_EVERY_MS);
        proptest::prop_assert!(!has_password || codes == 0);
    }
}
