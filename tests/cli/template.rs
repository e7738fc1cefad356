//! `msctl template`: what there is to create from, and whether it is sound.

use std::fs;

use crate::run::Home;

#[test]
fn list_names_the_embedded_templates() {
    let home = Home::new();
    let document = home.run(&["template", "list", "-o", "json"]).json();
    assert_eq!(document["schema"], "msctl.dev/template-list/v1");
    let names: Vec<_> =
        document["templates"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["go", "python-fastapi", "rust-axum"]);
    let ran = home.run(&["template", "list"]);
    assert_eq!((ran.code, ran.stdout.lines().count()), (0, names.len()), "{ran:#?}");
}

#[test]
fn show_tells_the_questions_and_files() {
    let home = Home::new();
    let document = home.run(&["template", "show", "go", "-o", "json"]).json();
    let variables = document["variables"].as_array().unwrap();
    assert!(
        variables.iter().any(|v| v["name"] == "port" && v["type"] == "int" && v["default"] == 8080),
        "{document}"
    );
    assert!(document["files"].as_array().unwrap().iter().any(|f| f == "msctl.yaml.tera"));
    let ran = home.run(&["template", "show", "gp"]);
    assert_eq!(ran.code, 2, "{ran:#?}");
    assert!(ran.stderr.contains("did you mean \"go\"?"), "{ran:#?}");
}

#[test]
fn lint_passes_what_is_embedded_and_names_what_is_wrong() {
    let home = Home::new();
    for name in ["go", "python-fastapi", "rust-axum"] {
        let ran = home.run(&["template", "lint", name]);
        assert_eq!(ran.code, 0, "{ran:#?}");
        assert!(ran.stdout.contains(name), "{ran:#?}");
    }
    fs::create_dir_all(home.dir.path().join("t/files")).unwrap();
    let yaml = "apiVersion: msctl.dev/template/v1\nname: t\nversion: 1.0.0\ndescription: d\n\
        variables: [{name: a, type: bool, default: false}, {name: b, type: string, default: x}]\n";
    fs::write(home.dir.path().join("t/template.yaml"), yaml).unwrap();
    fs::write(home.dir.path().join("t/files/x.json.tera"), "@% if a %@\n{@{ c }@\n@% else %@{}@% endif %@")
        .unwrap();
    let ran = home.run(&["template", "lint", "./t", "-o", "json"]);
    assert_eq!(ran.code, 1, "{ran:#?}");
    let document = ran.json();
    assert_eq!(document["schema"], "msctl.dev/template-lint/v1");
    let findings = document["findings"].as_array().unwrap();
    let found = |word: &str| findings.iter().any(|f| f["message"].as_str().unwrap().contains(word));
    assert!(
        found("c is not declared") && found("b is declared and used nowhere") && found("a=true"),
        "{document}"
    );
    let undeclared =
        findings.iter().find(|f| f["message"].as_str().unwrap().contains("not declared")).unwrap();
    assert_eq!((&undeclared["location"]["line"], &undeclared["location"]["column"]), (&2.into(), &5.into()));
}
