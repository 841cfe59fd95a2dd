use super::*;
use crate::api::{DecompressOptions, decompress_file};
use crate::block::Settings;
use crate::codec::Level;
use crate::io::ReadAt;
use crate::limits::Limits;
use crate::testing::noise;
use std::fs;
use std::io::Write;
use std::time::{Duration, SystemTime};

fn options() -> CompressOptions {
    let settings = Settings { level: Level::BALANCED, codec: None, verify: true };
    CompressOptions { blake3: true, ..CompressOptions::new(settings) }
}

fn restoring() -> DecompressOptions {
    DecompressOptions {
        threads: 2,
        check: true,
        force: false,
        base: None,
        limits: Limits::default(),
        ask: None,
    }
}

/// An archive with one entry, whatever its name.
fn archive_with(name: &[u8], kind: tar::EntryType, link: &str, content: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    if !link.is_empty() {
        header.set_link_name(link).unwrap();
    }
    header.set_cksum();
    let mut all = header.as_bytes().to_vec();
    all.extend_from_slice(content);
    all.resize(all.len().next_multiple_of(512), 0);
    all
}

fn packed_archive(directory: &Path, entries: &[Vec<u8>]) -> PathBuf {
    let (source, target) = (directory.join("hostile.tar"), directory.join("hostile.tar.mmh"));
    fs::write(&source, [entries.concat(), vec![0; 1024]].concat()).unwrap();
    crate::api::compress_file(Some(&source), Some(&target), &options(), &mut |_| Ok(())).unwrap();
    target
}

#[test]
fn the_archive_is_one_that_tar_reads_and_finds_tensors_in() {
    let at = tempfile::tempdir().unwrap();
    let root = at.path().join("tree");
    fs::create_dir_all(root.join("sub")).unwrap();
    fs::write(root.join("sub/a.txt"), "text ".repeat(500)).unwrap();
    fs::write(root.join("empty"), b"").unwrap();
    let header = br#"{"w":{"dtype":"F32","shape":[40000],"data_offsets":[0,160000]}}"#;
    let mut model = fs::File::create(root.join("model.safetensors")).unwrap();
    model.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    model.write_all(header).unwrap();
    model.write_all(&noise(160_000, 1)).unwrap();
    let (target, restored) = (at.path().join("tree.tar.mmh"), at.path().join("tree.tar"));
    let packed = pack_dir(&root, Some(&target), &options(), &mut |_| Ok(())).unwrap();
    assert_eq!((packed.files, packed.links, packed.directories), (3, 0, 2));
    assert_eq!((packed.report.format, packed.report.tensors), ("tar", 1));
    decompress_file(Some(&target), Some(&restored), &restoring(), &mut |_| Ok(())).unwrap();
    let mut tar = tar::Archive::new(fs::File::open(&restored).unwrap());
    let names: Vec<String> =
        tar.entries().unwrap().map(|e| e.unwrap().path().unwrap().to_string_lossy().into_owned()).collect();
    assert_eq!(names, ["./", "sub", "empty", "model.safetensors", "sub/a.txt"]);
    let back = at.path().join("back");
    let unpacked = unpack_dir(&target, &back, &restoring(), &mut |_| Ok(())).unwrap();
    assert_eq!((unpacked.files, unpacked.directories), (3, 2));
    assert_eq!(
        fs::read(back.join("model.safetensors")).unwrap(),
        fs::read(root.join("model.safetensors")).unwrap()
    );
    assert!(unpack_dir(&target, &back, &restoring(), &mut |_| Ok(())).is_err(), "it is there already");
}

#[test]
fn nothing_is_written_outside() {
    let at = tempfile::tempdir().unwrap();
    let outside = at.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let (file, link) = (tar::EntryType::Regular, tar::EntryType::Symlink);
    let through = |name: &[u8]| archive_with(name, file, "", b"x");
    let lies = [
        vec![through(b"../outside/a")],
        vec![through(b"sub/../../outside/a")],
        vec![archive_with(b"way", link, "../../outside", b""), through(b"way/a")],
        vec![archive_with(b"way", link, outside.to_str().unwrap(), b""), through(b"way/a")],
    ];
    for (i, entries) in lies.iter().enumerate() {
        let source = packed_archive(at.path(), entries);
        let target = at.path().join(format!("back{i}"));
        let _ = unpack_dir(&source, &target, &restoring(), &mut |_| Ok(()));
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "{i}");
        fs::remove_file(source).unwrap();
    }
    let source = packed_archive(at.path(), &[through(b"/absolute")]);
    unpack_dir(&source, &at.path().join("inside"), &restoring(), &mut |_| Ok(())).unwrap();
    assert!(at.path().join("inside/absolute").is_file());
}

#[test]
fn a_damaged_archive_leaves_nothing() {
    let at = tempfile::tempdir().unwrap();
    let root = at.path().join("tree");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("a"), noise(100_000, 3)).unwrap();
    let target = at.path().join("tree.tar.mmh");
    pack_dir(&root, Some(&target), &options(), &mut |_| Ok(())).unwrap();
    let mut bytes = fs::read(&target).unwrap();
    bytes[50_000] ^= 1;
    fs::write(&target, bytes).unwrap();
    let found = unpack_dir(&target, &at.path().join("back"), &restoring(), &mut |_| Ok(())).unwrap_err();
    assert!(matches!(found, Error::Corrupt { .. }), "{found}");
    let names: Vec<_> = fs::read_dir(at.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn a_target_in_the_directory_is_refused() {
    let at = tempfile::tempdir().unwrap();
    let found = pack_dir(at.path(), Some(&at.path().join("x.mmh")), &options(), &mut |_| Ok(())).unwrap_err();
    assert!(found.to_string().contains("lies in the directory"), "{found}");
}

#[test]
fn a_file_that_changes_after_the_walk_is_told() {
    let at = tempfile::tempdir().unwrap();
    let read_all = |image: &Image<'_>| {
        let mut bytes = vec![0; image.len() as usize];
        image.read_exact_at(0, &mut bytes).and_then(|()| image.check_unchanged())
    };
    for (i, len) in [100, 100_000].into_iter().enumerate() {
        let root = at.path().join(i.to_string());
        fs::create_dir(&root).unwrap();
        let file = root.join("file");
        fs::write(&file, vec![b'a'; len]).unwrap();
        let workers = Workers::new(1);
        let (image, _) = Image::of(&root, &workers).unwrap();
        read_all(&image).unwrap();
        // The same length, another time.
        let later = SystemTime::now() + Duration::from_secs(60);
        fs::File::options().write(true).open(&file).unwrap().set_modified(later).unwrap();
        let e = read_all(&image).unwrap_err().to_string();
        assert!(e.ends_with("file changed while it was packed"), "{e}");
        fs::write(&file, vec![b'a'; len / 2]).unwrap();
        let (longer, _) = Image::of(&root, &workers).unwrap();
        fs::write(&file, vec![b'a'; len]).unwrap();
        let e = read_all(&longer).unwrap_err().to_string();
        assert!(e.ends_with("file changed while it was packed"), "{e}");
    }
}
