use super::plan::SUM;
use super::*;
use crate::api::{Step, Workers};

fn noise(n: usize, mut x: u64) -> Vec<u8> {
    std::iter::repeat_with(|| {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        (x >> 24) as u8
    })
    .take(n)
    .collect()
}

fn quiet(_: Step) -> Result<()> {
    Ok(())
}

fn protect(body: &[u8], plan: Plan) -> Vec<u8> {
    let workers = Workers::new(2);
    let (plan, table) = hashed(&body, plan, None, &workers, &mut quiet).unwrap();
    let mut file = body.to_vec();
    write(&body, &plan, &table, &tempfile::tempfile, &mut file, &workers, &mut quiet).unwrap();
    assert_eq!(file.len() as u64, plan.file());
    file
}

fn mended(file: &[u8]) -> Option<Vec<u8>> {
    let workers = Workers::new(2);
    let found = examine(&file, &workers, &mut quiet).ok()??;
    let mut out = Vec::new();
    mend(&file, &found, &tempfile::tempfile, &mut out, &workers, &mut quiet).ok()?;
    // The parity, too, is what it was.
    let body = out[..found.plan.body as usize].to_vec();
    assert_eq!(out, protect(&body, Plan { table: 0, blake3: [0; 32], ..found.plan }));
    Some(body)
}

#[test]
fn what_does_not_have_the_hash_is_an_error() {
    let (body, plan) = grouped();
    let workers = Workers::new(2);
    // The sums fit and the hash does not, as if two different shards had one sum.
    let (plan, table) = hashed(&body, plan, None, &workers, &mut quiet).unwrap();
    let plan = Plan { blake3: [7; 32], ..plan };
    let mut file = body.clone();
    write(&body, &plan, &table, &tempfile::tempfile, &mut file, &workers, &mut quiet).unwrap();
    let found = examine(&file, &workers, &mut quiet).unwrap().unwrap();
    assert!(found.is_sound());
    let done = mend(&file, &found, &tempfile::tempfile, &mut Vec::new(), &workers, &mut quiet);
    assert!(matches!(done, Err(crate::error::Error::Corrupt { .. })));
}

/// Three groups of shards of 1 KiB.
fn grouped() -> (Vec<u8>, Plan) {
    let body = noise(100_500, 5);
    let plan = Plan { body: 100_500, shard: 1024, groups: 3, recovery: 4, table: 0, blake3: [0; 32] };
    (body, plan)
}

#[test]
fn a_whole_file_is_sound() {
    let (body, grouped) = grouped();
    for (body, plan) in [
        (body, grouped),
        (noise(1, 1), Plan::new(1, 5)),
        (noise(300, 2), Plan::new(300, 100)),
        (noise(70_000, 3), Plan::new(70_000, 1)),
    ] {
        let file = protect(&body, plan);
        let found = examine(&file, &Workers::new(1), &mut quiet).unwrap().unwrap();
        assert!(found.is_sound() && found.is_mendable());
        assert_eq!(body_len(&file).unwrap(), body.len() as u64);
        assert_eq!(plan_of(&file).unwrap(), Some(found.plan));
        assert_eq!(mended(&file).unwrap(), body);
    }
    assert!(examine(&noise(5000, 9), &Workers::new(1), &mut quiet).unwrap().is_none());
}

#[test]
fn as_many_shards_as_promised_are_restored_and_one_more_is_not() {
    let (body, plan) = grouped();
    let file = protect(&body, plan);
    for lost in 1..=5u64 {
        let mut hurt = file.clone();
        // All in one group, the last and short one too.
        for k in 0..lost {
            hurt[(k * plan.groups * 1024) as usize + 17] ^= 1;
        }
        let found = examine(&hurt, &Workers::new(1), &mut quiet).unwrap().unwrap();
        assert!(!found.is_sound());
        assert_eq!(found.lost_data(), lost);
        assert_eq!(found.is_mendable(), lost <= 4);
        assert_eq!(mended(&hurt), (lost <= 4).then(|| body.clone()));
    }
}

#[test]
fn bursts_holes_heads_and_ends_are_mended() {
    let (body, plan) = grouped();
    let file = protect(&body, plan);
    let burst = plan.burst() as usize;
    for start in [0, 1, 1000, 50_000, body.len() - burst, body.len() - burst / 2, file.len() - burst] {
        let mut hurt = file.clone();
        hurt[start..start + burst].fill(0);
        assert_eq!(mended(&hurt).as_ref(), Some(&body), "{start}");
    }
    // Across the end of the body, at each byte, for groups and for one group with a short last shard.
    let one = Plan { body: 100_500, shard: 2048, groups: 1, recovery: 7, table: 0, blake3: [0; 32] };
    for plan in [plan, one] {
        let file = protect(&body, plan);
        let burst = plan.burst() as usize;
        assert!(burst >= 3 * plan.shard as usize);
        for start in (body.len() - burst - 3000..body.len() + 3000).step_by(257) {
            let mut hurt = file.clone();
            let end = (start + burst).min(file.len());
            hurt[start..end].iter_mut().for_each(|b| *b ^= 0x55);
            assert_eq!(mended(&hurt).as_ref(), Some(&body), "{plan:?} {start}");
        }
    }
    // A bit in each copy of the table, and one in the shard that both are about.
    let (first, second) = (plan.body as usize + HEAD, file.len() - HEAD - plan.table_len() as usize);
    for (a, b, c) in [(8, 16, 90_000), (8, 8, 90_000), (8, 80, 1500), (80, 8, 1500), (8, 9, 10_000)] {
        let mut hurt = file.clone();
        hurt[first + a] ^= 1;
        hurt[second + b] ^= 2;
        hurt[c] ^= 4;
        // Both copies of one sum are wrong in one case: then nothing is handed out but the truth.
        let out = mended(&hurt);
        assert!(out.is_none() && a / SUM == b / SUM || out.as_ref() == Some(&body), "{a} {b} {c}");
    }
    // A head that is gone, bytes put in and taken out, and an end that is cut off.
    for n in [1usize, 7, 1024, 3000] {
        assert_eq!(mended(&file[n..]).as_ref(), Some(&body), "without the first {n}");
        assert_eq!(mended(&file[..file.len() - n]).as_ref(), Some(&body), "without the last {n}");
        for at in [0usize, 1, 40_000, 100_000] {
            let more: Vec<u8> = [&file[..at], &noise(n, 77), &file[at..]].concat();
            assert_eq!(mended(&more).as_ref(), Some(&body), "{n} more at {at}");
            let less: Vec<u8> = [&file[..at], &file[at + n..]].concat();
            assert_eq!(mended(&less).as_ref(), Some(&body), "{n} less at {at}");
        }
    }
    let both: Vec<u8> = [&file[..20_000], &[1; 5], &file[20_000..60_000], &file[60_100..]].concat();
    assert_eq!(mended(&both).as_ref(), Some(&body));
}

#[test]
fn every_flipped_byte_of_a_small_file_is_found_and_mended() {
    let body = noise(700, 3);
    let file = protect(&body, Plan::new(700, 50));
    for i in 0..file.len() {
        let mut hurt = file.clone();
        hurt[i] ^= 0x40;
        let found = examine(&hurt, &Workers::new(1), &mut quiet).unwrap().unwrap();
        assert!(!found.is_sound(), "{i}");
        assert_eq!(mended(&hurt).as_ref(), Some(&body), "{i}");
    }
}

#[test]
fn plans_keep_their_promises() {
    for body in [
        1u64,
        255,
        1000,
        65_536,
        1 << 20,
        16 << 20,
        32 << 20,
        33_000_001,
        500 << 20,
        10 << 30,
        400 << 30,
        1 << 40,
    ] {
        for percent in [1, 5, 20, 100] {
            let plan = Plan::new(body, percent);
            let h = plan.head(Kind::Record(0, 0, 5));
            assert_eq!(Plan::read(&h), Some((plan, Kind::Record(0, 0, 5))), "{plan:?}");
            let least = plan.shards_of(0) * percent as u64;
            assert!(plan.recovery * 100 >= least && (plan.recovery - 1) * 100 < least);
            assert!(plan.table_len() <= 64 << 20 && plan.shards_of(0) * plan.shard <= 64 << 20);
            if body >= 16 << 20 {
                let cost = plan.section() as f64 / body as f64 * 100.0;
                // Heads, tables, and a shard in part for each group.
                let rounded = plan.groups as f64 * plan.shard as f64 / body as f64 * 101.0;
                assert!(cost <= percent as f64 * 1.007 + 0.11 + rounded, "{body} {percent} {cost} {plan:?}");
                assert!(percent != 5 || body < 32 << 20 || cost <= 5.2, "{body} {cost}");
            }
        }
    }
}

#[test]
fn lies_are_refused() {
    let (_, plan) = grouped();
    for lie in [
        Plan { shard: 1000, ..plan },
        Plan { shard: 1 << 30, ..plan },
        Plan { body: 0, ..plan },
        Plan { body: u64::MAX, ..plan },
        Plan { groups: 0, ..plan },
        Plan { groups: 1 << 20, ..plan },
        Plan { recovery: 0, ..plan },
        Plan { recovery: 40_000, ..plan },
    ] {
        assert_eq!(Plan::read(&lie.head(Kind::Trailer)), None, "{lie:?}");
    }
    // A trailer that claims more than there is.
    let huge = Plan { body: 1 << 40, shard: 1 << 16, groups: 1 << 14, ..plan };
    let mut file = noise(2000, 4);
    file.extend(huge.head(Kind::Trailer));
    assert!(examine(&file, &Workers::new(1), &mut quiet).is_err());
    assert!(body_len(&file).is_err());
}
