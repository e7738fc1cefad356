//! Which files enter the build context: `.dockerignore` as Moby's pattern matcher reads it. Pure.
//!
//! The rules are those of moby/patternmatcher (`MatchesOrParentMatches`) and of the walk that BuildKit's client does
//! with it. Docker 20.10's client differs in one point: it never looks for `!` patterns with wildcards below an
//! excluded folder; newer ones do, and so does this.

use regex::bytes::Regex;

/// A list of patterns; the last one that matches a path or a folder above it decides.
#[derive(Debug, Clone, Default)]
pub struct Ignore {
    patterns: Vec<Pattern>,
    exceptions: bool,
    /// No exception has a wildcard but a trailing one: whole folders can be left out unvisited.
    plain_exceptions: bool,
}

#[derive(Debug, Clone)]
struct Pattern {
    text: String,
    exception: bool,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Exact,
    /// `foo/**`
    Prefix(String),
    /// `**/foo`
    Suffix(String),
    Regex(Box<Regex>),
}

/// A pattern that Docker refuses too.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {pattern:?} is not a pattern")]
pub struct BadPattern {
    pub line: usize,
    pub pattern: String,
}

/// Per pattern, whether it matched a folder or one above it.
#[derive(Debug, Clone, Default)]
pub struct Above(Vec<bool>);

impl Ignore {
    /// Parses a `.dockerignore`: BOM, CRLF, comments (`#` in the first column only) and blank lines are allowed.
    pub fn parse(text: &str) -> Result<Self, BadPattern> {
        let mut ignore = Ignore { plain_exceptions: true, ..Ignore::default() };
        for (index, line) in text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate() {
            if line.starts_with('#') || line.trim().is_empty() {
                continue;
            }
            let bad = || BadPattern { line: index + 1, pattern: line.trim().to_owned() };
            let line = line.trim();
            let (exception, rest) = match line.strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, line),
            };
            if rest.is_empty() {
                return Err(bad());
            }
            let cleaned = clean(rest);
            let text = cleaned.strip_prefix('/').filter(|r| !r.is_empty()).unwrap_or(&cleaned).to_owned();
            if !well_formed(&text) {
                return Err(bad());
            }
            let kind = compile(&text).ok_or_else(bad)?;
            ignore.exceptions |= exception;
            ignore.plain_exceptions &=
                !exception || !without_glob(&text).contains(['*', '[', ']', '?', '^', '\\']);
            ignore.patterns.push(Pattern { text, exception, kind });
        }
        Ok(ignore)
    }

    /// Whether `path` (relative, `/` between names) is left out. `above` is what [`Ignore::folder`] said of its folder.
    pub fn excludes(&self, path: &str, above: &Above) -> bool {
        let mut excluded = false;
        for (index, pattern) in self.patterns.iter().enumerate() {
            if pattern.exception == excluded
                && (above.0.get(index).copied().unwrap_or(false) || pattern.matches(path))
            {
                excluded = !pattern.exception;
            }
        }
        excluded
    }

    /// What the patterns say of the folder `path`, for the paths below it.
    pub fn folder(&self, path: &str, above: &Above) -> Above {
        let known = |index: usize| above.0.get(index).copied().unwrap_or(false);
        Above(self.patterns.iter().enumerate().map(|(i, p)| known(i) || p.matches(path)).collect())
    }

    /// Whether anything below the excluded folder `path` may still be wanted.
    pub fn may_return_below(&self, path: &str) -> bool {
        self.exceptions
            && (!self.plain_exceptions
                || self.patterns.iter().filter(|p| p.exception).any(|p| {
                    let wanted = without_glob(&p.text);
                    wanted == path || wanted.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'))
                }))
    }
}

impl Pattern {
    fn matches(&self, path: &str) -> bool {
        match &self.kind {
            Kind::Exact => path == self.text,
            Kind::Prefix(prefix) => path.starts_with(prefix.as_str()),
            Kind::Suffix(suffix) => {
                path.ends_with(suffix.as_str()) || suffix.strip_prefix('/').is_some_and(|name| name == path)
            }
            Kind::Regex(regex) => regex.is_match(path.as_bytes()),
        }
    }
}

fn without_glob(pattern: &str) -> &str {
    let pattern = pattern.strip_suffix("/**").unwrap_or(pattern);
    pattern.strip_suffix("/*").unwrap_or(pattern)
}

/// Lexical cleaning as Go's `filepath.Clean`.
fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').filter(|p| !p.is_empty() && *p != ".") {
        match (part, parts.last()) {
            ("..", Some(&last)) if last != ".." => {
                parts.pop();
            }
            ("..", None) if rooted => {}
            _ => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".into(),
        (false, false) => parts.join("/"),
    }
}

/// The syntax Go's `filepath.Match` accepts: no trailing backslash, closed and not empty classes, whole ranges.
fn well_formed(pattern: &str) -> bool {
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.next().is_none() => return false,
            '[' => {
                chars.next_if_eq(&'^');
                let mut ranges = 0;
                while ranges == 0 || chars.next_if_eq(&']').is_none() {
                    let ends = if class_member(&mut chars) { 1 } else { return false };
                    if chars.next_if_eq(&'-').is_some() && !class_member(&mut chars) {
                        return false;
                    }
                    ranges += ends;
                }
            }
            _ => {}
        }
    }
    true
}

fn class_member(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> bool {
    match chars.next() {
        None | Some('-' | ']') => false,
        Some('\\') if chars.next().is_none() => false,
        Some(_) => chars.peek().is_some(),
    }
}

/// Classifies a pattern, or turns it into a regular expression, token by token as Moby does, its oddities included
/// (`**/` also matches nothing; a wildcard inside a class is still a wildcard). None when the expression is invalid.
fn compile(pattern: &str) -> Option<Kind> {
    let mut chars = pattern.chars().peekable();
    let mut regex = String::from("^");
    let mut simple = Some(Kind::Exact);
    let mut first = true;
    while let Some(c) = chars.next() {
        match c {
            '*' if chars.next_if_eq(&'*').is_some() => {
                chars.next_if_eq(&'/');
                if chars.peek().is_some() {
                    regex += "(.*/)?";
                    simple = None;
                } else if matches!(simple, Some(Kind::Exact)) {
                    simple = Some(Kind::Prefix(pattern[..pattern.len() - 2].to_owned()));
                } else {
                    regex += ".*";
                    simple = None;
                }
                if first {
                    simple = Some(Kind::Suffix(pattern[2..].to_owned()));
                }
            }
            '*' | '?' => {
                regex += if c == '*' { "[^/]*" } else { "[^/]" };
                simple = None;
            }
            '.' | '+' | '(' | ')' | '|' | '{' | '}' | '$' => regex.extend(['\\', c]),
            '\\' => {
                regex.push('\\');
                regex.extend(chars.next());
                simple = None;
            }
            '[' | ']' => {
                regex.push(c);
                simple = None;
            }
            c => regex.push(c),
        }
        first = false;
    }
    if simple.is_some() {
        return simple;
    }
    regex.push('$');
    Some(Kind::Regex(Box::new(Regex::new(&from_go(&regex)).ok()?)))
}

/// Go's regular expression syntax in this crate's: here `[`, `&` and `~` are special within a class, `\d` is Unicode
/// and `\<` a word boundary; there they are not.
fn from_go(regex: &str) -> String {
    let mut out = String::with_capacity(regex.len() + 8);
    let mut chars = regex.chars().peekable();
    let escaped = |c: char, out: &mut String| match c {
        'd' => out.push_str("0-9"),
        'w' => out.push_str("0-9A-Za-z_"),
        's' => out.push_str(r"\t\n\x0c\r "),
        c if c.is_ascii_alphanumeric() => out.extend(['\\', c]),
        c => out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
    };
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('d' | 'w' | 's')) => {
                    out.push('[');
                    escaped(c, &mut out);
                    out.push(']');
                }
                Some(c) => escaped(c, &mut out),
                None => out.push('\\'),
            },
            '[' => {
                out.push('[');
                if chars.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                let mut first = true;
                while let Some(c) = chars.next() {
                    match c {
                        ']' if !first => break,
                        '\\' => {
                            if let Some(c) = chars.next() {
                                escaped(c, &mut out);
                            }
                        }
                        '-' => out.push('-'),
                        c => out.push_str(&class_escape(c)),
                    }
                    first = false;
                }
                out.push(']');
            }
            c => out.push(c),
        }
    }
    out
}

fn class_escape(c: char) -> String {
    if matches!(c, '[' | ']' | '&' | '~' | '^' | '\\') { format!("\\{c}") } else { c.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As the walk asks: every folder above is asked first.
    fn excluded(ignore: &Ignore, path: &str) -> bool {
        let mut above = Above::default();
        let parts: Vec<&str> = path.split('/').collect();
        for end in 1..parts.len() {
            above = ignore.folder(&parts[..end].join("/"), &above);
        }
        ignore.excludes(path, &above)
    }

    #[test]
    fn patterns_match_as_moby_says() {
        let table: &[(&str, &[&str], &[&str])] = &[
            // pattern file, excluded, kept
            ("foo", &["foo", "foo/bar", "foo/a/b"], &["a/foo", "foobar", "Foo"]),
            ("/foo", &["foo", "foo/bar"], &["a/foo"]),
            ("foo/", &["foo", "foo/bar"], &["a/foo"]),
            ("./foo/./bar//", &["foo/bar", "foo/bar/x"], &["foo"]),
            ("a/../foo", &["foo"], &["a/foo"]),
            ("*.log", &["a.log", ".log", "a.log/x"], &["d/a.log", "alog"]),
            ("**/*.log", &["a.log", "d/a.log", "d/e/a.log"], &["a.logs"]),
            ("*/temp*", &["a/temp", "a/temporary.txt", "a/temp/x"], &["temp", "a/b/temp"]),
            ("*/*/temp*", &["a/b/temp"], &["a/temp"]),
            ("temp?", &["tempa", "tempb"], &["temp", "tempab", "temp/"]),
            ("**", &["a", "a/b"], &[]),
            ("**/foo", &["foo", "a/foo", "a/b/foo", "a/foo/x"], &["afoo", "foobar"]),
            ("**foo", &["foo", "afoo", "a/foo", "a/bfoo"], &["foobar"]),
            ("foo/**", &["foo/a", "foo/a/b"], &["foo", "a/foo/b"]),
            ("foo**", &["foo", "foobar", "foo/x"], &["fo"]),
            ("**/foo/**", &["foo/a", "x/foo/a"], &["foo", "x/foo"]),
            ("a/**/b", &["a/b", "a/x/b", "a/x/y/b"], &["a/xb", "b"]),
            ("a/**/*.txt", &["a/x.txt", "a/b/c.txt"], &["x.txt", "a/x.md"]),
            ("[a-c].txt", &["a.txt", "c.txt"], &["d.txt", "ab.txt"]),
            ("[^a-c].txt", &["d.txt"], &["a.txt"]),
            ("[a&&b]x", &["ax", "&x", "bx"], &["cx"]),
            (r"[\]a]x", &["]x", "ax"], &["bx"]),
            (r"a\*b", &["a*b"], &["aXb", "ab"]),
            (r"\#not-a-comment", &["#not-a-comment"], &[]),
            (r"\<x", &["<x"], &["x"]),
            ("a.b", &["a.b"], &["aXb"]),
            ("a+(b)|{c}$", &["a+(b)|{c}$"], &["aab"]),
            ("# comment\n\n  \nfoo", &["foo"], &["# comment"]),
            (" # kept", &["# kept"], &["kept"]),
            ("\u{feff}foo\r\nbar \r\n", &["foo", "bar"], &["foo\r"]),
            ("*\n!keep", &["a", "a/b"], &["keep", "keep/x"]),
            ("*\n!keep\nkeep/secret", &["a", "keep/secret", "keep/secret/x"], &["keep", "keep/x"]),
            ("foo\n!foo/bar", &["foo", "foo/x"], &["foo/bar", "foo/bar/y"]),
            ("foo\n!foo/bar\nfoo", &["foo/bar", "foo/x"], &[]),
            ("!foo\nfoo", &["foo"], &[]),
            ("**/*.md\n!README.md", &["a.md", "d/README.md"], &["README.md"]),
            ("! foo\n", &[], &["foo"]),
            ("*\n! /foo/ \n", &["a"], &["foo", "foo/x"]),
            ("README*.md\n!README-secret.md", &["README.md"], &["README-secret.md"]),
            ("café/*.é", &["café/x.é"], &["cafe/x.é"]),
            ("?", &["é", "x"], &["ab"]),
            (".", &[], &["a", "a/b"]),
            ("/", &[], &["a"]),
            ("..", &[], &["a"]),
            ("FOO", &["FOO"], &["foo"]),
        ];
        for (text, out, kept) in table {
            let ignore = Ignore::parse(text).unwrap();
            for path in *out {
                assert!(excluded(&ignore, path), "{text:?} should leave out {path:?}");
            }
            for path in *kept {
                assert!(!excluded(&ignore, path), "{text:?} should keep {path:?}");
            }
        }
    }

    #[test]
    fn what_docker_refuses_is_refused_with_its_line() {
        for bad in ["[", "[]", "[]a]", "[-a]", "[a-]", "[^]", "a\\", "[a", "[\\", "!", "!  "] {
            let error = Ignore::parse(&format!("ok\n{bad}\n")).unwrap_err();
            assert_eq!(error.line, 2, "{bad:?}");
        }
    }

    #[test]
    fn folders_are_visited_only_where_something_may_return() {
        let plain = Ignore::parse("node_modules\n!node_modules/keep/*").unwrap();
        assert!(plain.may_return_below("node_modules"));
        assert!(plain.may_return_below("node_modules/keep"));
        assert!(!plain.may_return_below("node_modules/other"));
        let wild = Ignore::parse("node_modules\n!**/*.md").unwrap();
        assert!(wild.may_return_below("node_modules/other"));
        assert!(!Ignore::parse("node_modules").unwrap().may_return_below("node_modules"));
    }

    proptest! {
        /// Never panics, and an exact name always leaves out itself and all below it.
        #[test]
        fn any_text_is_read(text in "(?s).{0,60}", path in "[a-z*/.]{1,20}") {
            if let Ok(ignore) = Ignore::parse(&text) {
                let _ = excluded(&ignore, &path);
                let _ = ignore.may_return_below(&path);
            }
        }
        #[test]
        fn a_name_leaves_out_its_tree(name in "[a-z]{1,8}", below in "[a-z]{1,8}(/[a-z]{1,8}){0,3}") {
            let ignore = Ignore::parse(&name).unwrap();
            let path = format!("{name}/{below}");
            prop_assert!(excluded(&ignore, &path));
            let longer = format!("{name}x");
            prop_assert!(!excluded(&ignore, &longer));
        }
        #[test]
        fn a_later_exception_brings_back(name in "[a-z]{1,8}", below in "[a-z]{1,8}") {
            let ignore = Ignore::parse(&format!("{name}\n!{name}/{below}")).unwrap();
            let path = format!("{name}/{below}");
            prop_assert!(!excluded(&ignore, &path));
            prop_assert!(ignore.may_return_below(&name));
        }
    }
}
