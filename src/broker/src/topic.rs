//! MQTT's rules for topics and filters: what is valid, what matches, and which filter lies within another.

/// Whether a message may have this topic.
pub(crate) fn is_topic(topic: &str) -> bool {
    !topic.is_empty() && !topic.contains(['+', '#', '\0'])
}

/// Whether a subscription may have this filter: `+` for one whole level, `#` for all that remain.
pub(crate) fn is_filter(filter: &str) -> bool {
    if filter.is_empty() || filter.contains('\0') {
        return false;
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let last = levels.peek().is_none();
        let wildcard = level.contains(['+', '#']);
        if wildcard && !(level == "+" || level == "#" && last) {
            return false;
        }
    }
    true
}

pub(crate) fn has_wildcard(filter: &str) -> bool {
    filter.contains(['+', '#'])
}

/// Whether a message with `topic` goes to who subscribed to `filter`. A wildcard in the first level does not reach
/// the topics that begin with `$`.
pub(crate) fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut topic = topic.split('/');
    for level in filter.split('/') {
        // `a/#` is also `a`.
        if level == "#" {
            return true;
        }
        match topic.next() {
            Some(name) if level == "+" || level == name => {}
            _ => return false,
        }
    }
    topic.next().is_none()
}

/// Whether all that matches `filter` matches `outer`: who may have `outer` may have `filter`.
pub(crate) fn covers(outer: &str, filter: &str) -> bool {
    if filter.starts_with('$') && outer.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = filter.split('/');
    for outer_level in outer.split('/') {
        if outer_level == "#" {
            return true;
        }
        match levels.next() {
            Some("#") | None => return false,
            Some(level) if outer_level == "+" || outer_level == level => {}
            Some(_) => return false,
        }
    }
    levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wildcards_stand_for_whole_levels() {
        for filter in ["#", "+", "a", "/", "a/#", "+/+", "a/+/b", "/+", "+/#", "a//b"] {
            assert!(is_filter(filter), "{filter}");
        }
        for filter in ["", "a#", "#/a", "a/#/b", "a+", "a/+b", "a\0"] {
            assert!(!is_filter(filter), "{filter}");
        }
    }

    #[test]
    fn matching_follows_the_standard() {
        let yes = [
            ("a/b", "a/b"),
            ("a/+", "a/b"),
            ("a/+", "a/"),
            ("a/#", "a"),
            ("a/#", "a/b/c"),
            ("#", "a/b"),
            ("+/+", "/a"),
            ("/+", "/a"),
            ("+", "a"),
            ("$SYS/#", "$SYS/x"),
        ];
        for (filter, topic) in yes {
            assert!(matches(filter, topic), "{filter} {topic}");
        }
        let no = [
            ("a/b", "a"),
            ("a", "a/b"),
            ("a/+", "a"),
            ("a/+", "a/b/c"),
            ("+", "/a"),
            ("a/#", "ab"),
            ("#", "$SYS/x"),
            ("+/x", "$SYS/x"),
        ];
        for (filter, topic) in no {
            assert!(!matches(filter, topic), "{filter} {topic}");
        }
    }

    #[test]
    fn a_filter_lies_within_a_wider_one() {
        for (outer, filter) in
            [("#", "#"), ("#", "a/+"), ("a/#", "a"), ("a/#", "a/+/#"), ("a/+", "a/+"), ("a/+", "a/b")]
        {
            assert!(covers(outer, filter), "{outer} {filter}");
        }
        for (outer, filter) in
            [("a/+", "a/#"), ("a/b", "a/+"), ("a/#", "#"), ("#", "$SYS/#"), ("+/+", "+/#"), ("a", "a/b")]
        {
            assert!(!covers(outer, filter), "{outer} {filter}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]
        /// Who may only have `outer` never gets what `outer` does not match.
        #[test]
        fn covering_is_about_matching(
            outer in "([ab+]/){0,2}[ab+#]",
            filter in "([ab+]/){0,2}[ab+#]",
            topic in "([ab]/){0,3}[ab]",
        ) {
            prop_assert!(!covers(&outer, &filter) || !matches(&filter, &topic) || matches(&outer, &topic));
        }
    }
}
