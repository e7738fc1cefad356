//! Reserved words of the languages templates are written in, told by their tools.

const RUST: &str = "as async await box break const continue crate dyn else enum extern false fn for gen if impl in \
    let loop macro match mod move mut priv pub ref return self static struct super trait true try type typeof \
    union unsafe unsized use virtual where while yield core std alloc test build deps examples";
const GO: &str = "break case chan const continue default defer else fallthrough for func go goto if import \
    interface map package range return select struct switch type var internal vendor";
const PYTHON: &str = "and as assert async await break class continue def del elif else except false finally for \
    from global if import in is lambda none nonlocal not or pass raise return true try while with yield match \
    case type site sys os json logging asyncio http email test tests token types typing io abc time string";
const JAVA: &str = "abstract assert boolean break byte case catch char class const continue default do double else \
    enum extends false final finally float for goto if implements import instanceof int interface long native new \
    null package private protected public return short static strictfp super switch synchronized this throw \
    throws transient true try void volatile while java javax";
const JAVASCRIPT: &str = "arguments await break case catch class const continue debugger default delete do else \
    enum eval export extends false finally for function if implements import in instanceof interface let new null \
    package private protected public return static super switch this throw true try typeof var void while with \
    yield node_modules";

/// The language among those of `tools` that reserves `word`.
pub fn reserving(tools: &[String], word: &str) -> Option<&'static str> {
    tools.iter().find_map(|tool| {
        let (language, words) = match tool.as_str() {
            "cargo" | "rustc" => ("Rust", RUST),
            "go" => ("Go", GO),
            "python" | "python3" | "uv" | "poetry" => ("Python", PYTHON),
            "java" | "javac" | "mvn" | "gradle" => ("Java", JAVA),
            "node" | "npm" | "pnpm" => ("JavaScript", JAVASCRIPT),
            _ => return None,
        };
        words.split_whitespace().any(|w| w == word).then_some(language)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_reserved_where_its_tool_is_used() {
        let go = ["go".to_owned()];
        assert_eq!(reserving(&go, "func"), Some("Go"));
        assert_eq!(reserving(&go, "class"), None);
        assert_eq!(reserving(&["python3".to_owned()], "class"), Some("Python"));
        assert_eq!(reserving(&["make".to_owned()], "class"), None);
    }
}
