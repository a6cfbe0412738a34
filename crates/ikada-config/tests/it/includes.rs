//! `@INCLUDE`: where files are looked for, and what is said when they are not there.

use super::*;

fn names(loaded: &Loaded) -> Vec<&str> {
    loaded.document.sections().iter().map(|section| section.get("name").unwrap().value.as_str()).collect()
}

fn input(name: &str) -> String {
    format!("[INPUT]\n    Name {name}\n")
}

#[test]
fn included_sections_stand_where_the_include_stands() {
    let files = MemoryFiles::new()
        .with("/etc/main.conf", format!("{}@include b.conf\n    Tag still_a\n{}", input("a"), input("c")))
        .with("/etc/b.conf", input("b"));
    let loaded = load(&files);
    assert_eq!(lines(&loaded), NONE);
    assert_eq!(names(&loaded), ["a", "b", "c"]);
    assert_eq!(loaded.document.sections()[0].get("tag").unwrap().value, "still_a");
}

#[test]
fn a_relative_path_starts_at_three_directories_in_order() {
    let mut files = MemoryFiles::new()
        .with("/etc/main.conf", "@INCLUDE sub/more.conf\n")
        .with("/etc/sub/more.conf", "@INCLUDE x.conf\n")
        .with("/etc/sub/x.conf", input("beside_the_including_file"));
    assert_eq!(names(&load(&files)), ["beside_the_including_file"]);
    files.insert("/etc/x.conf", input("beside_the_main_file"));
    assert_eq!(names(&load(&files)), ["beside_the_main_file"]);
    files.insert("/srv/x.conf", input("in_the_working_directory"));
    assert_eq!(names(&load(&files)), ["in_the_working_directory"]);
}

#[test]
fn blanks_around_a_path_do_not_matter() {
    let files =
        MemoryFiles::new().with("/etc/main.conf", "@INCLUDE   b.conf  \r\n").with("/etc/b.conf", input("b"));
    let loaded = load(&files);
    assert_eq!(lines(&loaded), NONE);
    assert_eq!(names(&loaded), ["b"]);
}

#[test]
fn a_pattern_takes_matching_files_in_sorted_order() {
    let files = MemoryFiles::new()
        .with("/etc/main.conf", "@INCLUDE conf.d/*.conf\n@INCLUDE /opt/?.conf\n@INCLUDE /opt/[x-z]z.conf\n")
        .with("/etc/conf.d/2.conf", input("two"))
        .with("/etc/conf.d/1.conf", input("one"))
        .with("/etc/conf.d/README", "not a configuration")
        .with("/etc/conf.d/sub.conf/x", "")
        .with("/opt/a.conf", input("a"))
        .with("/opt/yz.conf", input("yz"));
    let loaded = load(&files);
    assert_eq!(lines(&loaded), NONE);
    assert_eq!(names(&loaded), ["one", "two", "a", "yz"]);
}

#[test]
fn a_file_whose_name_looks_like_a_pattern_is_a_file() {
    let files = MemoryFiles::new()
        .with("/etc/main.conf", "@INCLUDE a[1].conf\n")
        .with("/etc/a[1].conf", input("itself"))
        .with("/etc/a1.conf", input("another"));
    assert_eq!(names(&load(&files)), ["itself"]);
}

#[test]
fn a_missing_file_is_an_error_that_names_every_path_tried() {
    let files = MemoryFiles::new()
        .with("/etc/main.conf", "@INCLUDE sub/a.conf\n@INCLUDE /fluent-bit/none.conf\n")
        .with("/etc/sub/a.conf", "@INCLUDE none.conf\n[INPUT]\n    Name a\n");
    let loaded = load(&files);
    assert_eq!(
        lines(&loaded),
        [
            "/etc/sub/a.conf:1:10: error[missing-include]: the included file `none.conf` does not exist (help: tried `/srv/none.conf`, `/etc/none.conf`, `/etc/sub/none.conf`)",
            "/etc/main.conf:2:10: error[missing-include]: the included file `/fluent-bit/none.conf` does not exist (help: tried `/fluent-bit/none.conf`)",
        ]
    );
    assert_eq!(names(&loaded), ["a"]);
}

#[test]
fn the_usual_reasons_for_a_missing_file_are_named() {
    let files = MemoryFiles::new()
        .with("/etc/main.conf", "@INCLUDE ${DIR}/a.conf\n@INCLUDE main.conf # itself\n@INCLUDE  \n");
    assert_eq!(
        lines(&load(&files)),
        [
            "/etc/main.conf:1:10: error[missing-include]: the included file `${DIR}/a.conf` does not exist (help: variables are not replaced in the path of an include: write the path itself)",
            "/etc/main.conf:2:10: error[missing-include]: the included file `main.conf # itself` does not exist (help: write `@INCLUDE main.conf`: a comment needs a line of its own)",
            "/etc/main.conf:3:1: error[missing-include]: `@INCLUDE` names no file (help: type `@INCLUDE path/to/file.conf`)",
        ]
    );
}

#[test]
fn a_pattern_without_a_match_is_a_warning() {
    let files = MemoryFiles::new().with("/etc/main.conf", "@INCLUDE conf.d/*.conf\n@INCLUDE /opt/*.conf\n");
    assert_eq!(
        lines(&load(&files)),
        [
            "/etc/main.conf:1:10: warning[include-no-match]: no file matches `conf.d/*.conf` (help: tried `/etc/conf.d/*.conf`, `/srv/conf.d/*.conf`)",
            "/etc/main.conf:2:10: warning[include-no-match]: no file matches `/opt/*.conf` (help: tried `/opt/*.conf`)",
        ]
    );
}

#[test]
fn the_same_file_twice_has_no_effect_and_a_warning_names_both_lines() {
    let files = MemoryFiles::new()
        .with("/etc/main.conf", "@INCLUDE a.conf\n@INCLUDE b.conf\n@INCLUDE /etc/../etc/common.conf\n")
        .with("/etc/a.conf", "@INCLUDE common.conf\n[INPUT]\n    Name a\n")
        .with("/etc/b.conf", "@INCLUDE common.conf\n[INPUT]\n    Name b\n")
        .with("/etc/common.conf", input("common"));
    let loaded = load(&files);
    assert_eq!(names(&loaded), ["common", "a", "b"]);
    assert_eq!(
        lines(&loaded),
        [
            "/etc/b.conf:1:10: warning[include-repeated]: `/etc/common.conf` was included before at /etc/a.conf:1; this has no effect (help: remove one of the two)",
            "/etc/main.conf:3:10: warning[include-repeated]: `/etc/../etc/common.conf` was included before at /etc/a.conf:1; this has no effect (help: remove one of the two)",
        ]
    );
}

#[test]
fn a_file_that_includes_itself_is_an_error() {
    let files = MemoryFiles::new()
        .with("/etc/main.conf", "@INCLUDE a.conf\n@INCLUDE main.conf\n")
        .with("/etc/a.conf", "@INCLUDE main.conf\n[INPUT]\n    Name a\n");
    let loaded = load(&files);
    assert_eq!(names(&loaded), ["a"]);
    assert_eq!(
        lines(&loaded),
        [
            "/etc/a.conf:1:10: error[include-cycle]: `/etc/main.conf` includes itself (help: remove this line; the files include each other in the order `/etc/main.conf`, `/etc/a.conf`)",
            "/etc/main.conf:2:10: error[include-cycle]: `/etc/main.conf` includes itself (help: remove this line; the files include each other in the order `/etc/main.conf`)",
        ]
    );
}

#[test]
fn at_most_a_thousand_files_are_read() {
    let mut files =
        MemoryFiles::new().with("/etc/main.conf", format!("@INCLUDE conf.d/*.conf\n{}", input("last")));
    for number in 0..10_000 {
        files.insert(format!("/etc/conf.d/{number:04}.conf"), input("x"));
    }
    let loaded = load(&files);
    assert_eq!(
        lines(&loaded),
        [
            "/etc/main.conf:1:10: error[too-many-files]: `/etc/conf.d/0999.conf` is the file number 1001; at most 1000 are read"
        ]
    );
    assert_eq!(loaded.document.sections().len(), 1000);
}

#[test]
fn a_thousand_files_that_include_each_other_in_a_chain_are_read() {
    let mut files = MemoryFiles::new().with("/etc/main.conf", "@INCLUDE 1.conf\n");
    for number in 1..999 {
        files.insert(format!("/etc/{number}.conf"), format!("@INCLUDE {}.conf\n", number + 1));
    }
    files.insert("/etc/999.conf", input("deep"));
    let loaded = load(&files);
    assert_eq!(lines(&loaded), NONE);
    assert_eq!(names(&loaded), ["deep"]);
}

#[test]
fn an_included_file_cannot_continue_a_section_and_has_its_own_indentation() {
    let files = MemoryFiles::new()
        .with("/etc/main.conf", "[INPUT]\n    Name a\n@INCLUDE tag.conf\n@INCLUDE two.conf\n    Tag x\n")
        .with("/etc/tag.conf", "    Tag x\n")
        .with("/etc/two.conf", "[INPUT]\n  Name b\n  Tag y\n");
    let loaded = load(&files);
    assert_eq!(
        lines(&loaded),
        [
            "/etc/tag.conf:1:5: error[key-before-section]: `Tag` stands before the first section (help: start the file with a header: an included file does not continue the section that includes it)"
        ]
    );
    assert_eq!(loaded.document.sections()[0].get("tag").unwrap().value, "x");
}

#[test]
fn a_directory_is_read_as_nothing_with_a_warning() {
    let files =
        MemoryFiles::new().with("/etc/main.conf", "@INCLUDE conf.d/\n").with("/etc/conf.d/a.conf", "");
    assert_eq!(
        lines(&load(&files)),
        [
            "/etc/main.conf:1:10: warning[include-directory]: `/etc/conf.d/` is a directory; nothing is read from it (help: `/etc/conf.d/*.conf` names the files in it)"
        ]
    );
}

#[test]
fn a_main_file_that_is_not_there_is_an_error() {
    let loaded = load(&MemoryFiles::new());
    assert_eq!(lines(&loaded), ["error[unreadable-file]: cannot read `/etc/main.conf`: entity not found"]);
    assert_eq!(loaded.sources.name(loaded.document.origin().source), "/etc/main.conf");
}

#[test]
fn files_on_disk_are_read_from_the_working_directory() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("conf.d")).unwrap();
    std::fs::write(directory.path().join("main.conf"), "@INCLUDE conf.d/*.conf\n@INCLUDE none.conf\n")
        .unwrap();
    std::fs::write(directory.path().join("conf.d/a.conf"), "[INPUT]\n    Name: a\n").unwrap();
    let loaded =
        load_classic(Path::new("main.conf"), &ikada_config::DiskFiles, &MapEnv::new(), directory.path());
    let tried = directory.path().join("none.conf");
    assert_eq!(
        lines(&loaded),
        [
            "conf.d/a.conf:2:5: error[key-punctuation]: the key `Name` is written with `:` (help: type `Name` and a blank)".to_owned(),
            format!("main.conf:2:10: error[missing-include]: the included file `none.conf` does not exist (help: tried `{}`)", tried.display()),
        ]
    );
}

#[test]
fn a_parsers_file_gives_its_parsers_only() {
    let files = MemoryFiles::new().with("/etc/main.conf", input("a")).with(
        "/etc/parsers.conf",
        "[PARSER]\n    Name json\n    Format json\n[INPUT]\n    Name b\n[MULTILINE_PARSER]\n    name m\n",
    );
    let mut loaded = load(&files);
    let (env, work) = (MapEnv::new(), Path::new("/srv"));
    loaded.add_parsers(Path::new("parsers.conf"), None, &files, &env, work);
    loaded.add_parsers(
        Path::new("none.conf"),
        Some(loaded.document.sections()[0].header),
        &files,
        &env,
        work,
    );
    assert_eq!(names(&loaded), ["a", "json", "m"]);
    assert_eq!(
        lines(&loaded),
        [
            "/etc/parsers.conf:4:1: warning[unsupported-section]: `[INPUT]` in a parsers file is ignored (help: move it to a file that is included)",
            "/etc/main.conf:1:1: error[unreadable-file]: the parsers file `none.conf` does not exist (help: tried `/srv/none.conf`, `/etc/none.conf`)",
        ]
    );
}
