//! Who may connect, publish and subscribe.

use crate::options::User;
use crate::topic;

/// The users; none means that everybody may do everything.
pub(crate) struct Access {
    users: Vec<User>,
}

/// One who was let in: a user's place in the list, or somebody anonymous.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Anonymous,
    User(usize),
}

impl Access {
    pub(crate) fn new(users: Vec<User>) -> Access {
        Access { users }
    }

    /// `None` if name or password are wrong. All users are compared, so that the time tells nothing.
    pub(crate) fn let_in(&self, name: Option<&str>, password: Option<&[u8]>) -> Option<Who> {
        if self.users.is_empty() {
            return Some(Who::Anonymous);
        }
        let (name, password) = (name?, password.unwrap_or_default());
        let mut found = None;
        for (index, user) in self.users.iter().enumerate() {
            if user.password.is(password) & (user.name == name) {
                found = Some(Who::User(index));
            }
        }
        found
    }

    pub(crate) fn may_publish(&self, who: Who, topic: &str) -> bool {
        self.filters(who, |user| &user.publish, |filter| topic::matches(filter, topic))
    }

    pub(crate) fn may_subscribe(&self, who: Who, filter: &str) -> bool {
        self.filters(who, |user| &user.subscribe, |allowed| topic::covers(allowed, filter))
    }

    fn filters(&self, who: Who, of: impl Fn(&User) -> &Vec<String>, allow: impl Fn(&str) -> bool) -> bool {
        match who {
            Who::Anonymous => true,
            Who::User(index) => {
                self.users.get(index).is_some_and(|user| of(user).iter().any(|filter| allow(filter)))
            }
        }
    }
}
