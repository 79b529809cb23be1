//! Typed access to a parsed TOML document that notes every mistake with its place instead of stopping at the first.
//! `read` walks the file with it.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Remark, Severity};

/// The file's text and what was found wrong so far.
pub struct Walk<'t> {
    text: &'t str,
    remarks: Vec<Remark>,
}

/// A table at a path such as `mqtt` or `person[2]`.
#[derive(Clone)]
pub struct Section<'a> {
    pub path: String,
    pub span: Range<usize>,
    table: &'a DeTable<'a>,
}

/// A value and where it is.
#[derive(Debug, Clone)]
pub struct At<T> {
    pub value: T,
    pub span: Range<usize>,
}

impl<'t> Walk<'t> {
    pub fn new(text: &'t str) -> Walk<'t> {
        Walk { text, remarks: Vec::new() }
    }

    /// Everything that was noted, in order of place.
    pub fn into_remarks(mut self) -> Vec<Remark> {
        self.remarks.sort_by_key(|remark| (remark.line, remark.column));
        self.remarks
    }

    /// How many mistakes were noted so far.
    pub fn mistakes(&self) -> usize {
        self.remarks.iter().filter(|remark| remark.severity == Severity::Mistake).count()
    }

    pub fn mistake(&mut self, span: &Range<usize>, text: impl Into<String>) {
        self.note(Severity::Mistake, span, text.into());
    }

    pub fn suspicious(&mut self, span: &Range<usize>, text: impl Into<String>) {
        self.note(Severity::Suspicious, span, text.into());
    }

    fn note(&mut self, severity: Severity, span: &Range<usize>, text: String) {
        let (line, column) = self.place(span.start);
        self.remarks.push(Remark { severity, line, column, text });
    }

    /// Line of a byte offset, for messages that point elsewhere.
    pub fn line(&self, span: &Range<usize>) -> usize {
        self.place(span.start).0
    }

    fn place(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    /// Notes every key of `section` that is none of `known`, with the nearest one that is.
    pub fn only(&mut self, section: &Section<'_>, known: &[&str]) {
        for key in section.table.keys() {
            let name: &str = key.get_ref();
            if known.contains(&name) {
                continue;
            }
            let inside =
                if section.path.is_empty() { String::new() } else { format!(" in [{}]", section.path) };
            let hint = match nearest(name, known.iter().copied()) {
                Some(nearest) => format!("did you mean \"{nearest}\"?"),
                None => format!("known here: {}", known.join(", ")),
            };
            self.mistake(&key.span(), format!("unknown key \"{name}\"{inside}; {hint}"));
        }
    }

    /// A table below `section`.
    pub fn table<'a>(&mut self, section: &Section<'a>, key: &str) -> Option<Section<'a>> {
        let value = section.get(key)?;
        let Some(table) = value.get_ref().as_table() else {
            self.wrong_type(section, key, value, "a table");
            return None;
        };
        Some(Section { path: section.join(key), span: value.span(), table })
    }

    /// The elements of an array of tables, such as `[[person]]`. Elements that are no tables go to `other`.
    pub fn tables<'a>(
        &mut self,
        section: &Section<'a>,
        key: &str,
        mut other: impl FnMut(&mut Walk<'t>, &Spanned<DeValue<'a>>) -> bool,
    ) -> Vec<Section<'a>> {
        let Some(value) = section.get(key) else { return Vec::new() };
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_type(section, key, value, &format!("an array: write [[{}]]", section.join(key)));
            return Vec::new();
        };
        let mut sections = Vec::new();
        for (index, element) in array.iter().enumerate() {
            let path = format!("{}[{}]", section.join(key), index + 1);
            match element.get_ref().as_table() {
                Some(table) => sections.push(Section { path, span: element.span(), table }),
                None if other(self, element) => {}
                None => self.mistake(&element.span(), format!("{path} must be a table")),
            }
        }
        sections
    }

    /// A text.
    pub fn text(&mut self, section: &Section<'_>, key: &str) -> Option<At<String>> {
        let value = section.get(key)?;
        let Some(text) = value.get_ref().as_str() else {
            self.wrong_type(section, key, value, "a text in quotes");
            return None;
        };
        if text.trim().is_empty() {
            self.mistake(
                &value.span(),
                format!("{} is empty; leave it out or fill it in", section.join(key)),
            );
            return None;
        }
        Some(At { value: text.to_owned(), span: value.span() })
    }

    /// A text that means something: `read` says what, or what is wrong.
    pub fn parsed<T>(
        &mut self,
        section: &Section<'_>,
        key: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<At<T>> {
        let text = self.text(section, key)?;
        match read(&text.value) {
            Ok(value) => Some(At { value, span: text.span }),
            Err(why) => {
                self.mistake(&text.span, format!("{} = {:?}: {why}", section.join(key), text.value));
                None
            }
        }
    }

    /// `true` or `false`.
    pub fn flag(&mut self, section: &Section<'_>, key: &str) -> Option<bool> {
        let value = section.get(key)?;
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            self.wrong_type(section, key, value, "true or false");
        }
        flag
    }

    /// A whole number within `range`.
    pub fn integer(&mut self, section: &Section<'_>, key: &str, range: Range<i64>) -> Option<i64> {
        let value = section.get(key)?;
        let Some(integer) = value.get_ref().as_integer() else {
            self.wrong_type(section, key, value, "a whole number");
            return None;
        };
        let number = i64::from_str_radix(integer.as_str(), integer.radix())
            .ok()
            .filter(|number| range.contains(number));
        if number.is_none() {
            let (least, most) = (range.start, range.end - 1);
            self.mistake(&value.span(), format!("{} must be from {least} to {most}", section.join(key)));
        }
        number
    }

    /// A list of texts; one text alone is taken for a list of one.
    pub fn texts(&mut self, section: &Section<'_>, key: &str) -> Vec<At<String>> {
        let Some(value) = section.get(key) else { return Vec::new() };
        let alone = std::slice::from_ref(value);
        let elements = match value.get_ref() {
            DeValue::Array(array) => array.iter().as_slice(),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Table(_) => alone,
        };
        let mut texts = Vec::new();
        for element in elements {
            match element.get_ref().as_str() {
                Some(text) => texts.push(At { value: text.to_owned(), span: element.span() }),
                None => self.wrong_type(section, key, element, "a list of texts in quotes"),
            }
        }
        texts
    }

    fn wrong_type(&mut self, section: &Section<'_>, key: &str, value: &Spanned<DeValue<'_>>, wanted: &str) {
        let found = value.get_ref().type_str();
        self.mistake(&value.span(), format!("{} must be {wanted}, not {found}", section.join(key)));
    }
}

impl<'a> Section<'a> {
    /// The document itself.
    pub fn root(document: &'a Spanned<DeTable<'a>>) -> Section<'a> {
        Section { path: String::new(), span: document.span(), table: document.get_ref() }
    }

    pub fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Where the value of a key is.
    pub fn span_of(&self, key: &str) -> Option<Range<usize>> {
        self.get(key).map(Spanned::span)
    }

    fn get(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.table.get(key)
    }

    fn join(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

/// The known name most like `name`, if one is like it at all.
pub fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let mut best = None;
    for candidate in known {
        let distance = strsim::damerau_levenshtein(&name.to_lowercase(), &candidate.to_lowercase());
        if distance <= 1 + candidate.chars().count() / 4 && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}
