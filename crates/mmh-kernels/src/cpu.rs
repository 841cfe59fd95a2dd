//! Which instruction set the loops use.

use std::sync::OnceLock;

/// An instruction set that the loops are compiled for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub enum Simd {
    /// What the compiler makes of the loops for the baseline of the target.
    Scalar,
    /// Loops written for NEON, which every aarch64 has.
    Neon,
    /// AVX2 with BMI1, BMI2 and LZCNT.
    Avx2,
    /// AVX-512 F, BW, VL, DQ, VBMI and VBMI2, over `Avx2`.
    Avx512,
}

impl Simd {
    /// Every set, the most capable last.
    pub const ALL: [Simd; 4] = [Simd::Scalar, Simd::Neon, Simd::Avx2, Simd::Avx512];

    /// The name that `MMH_SIMD` takes.
    pub fn name(self) -> &'static str {
        match self {
            Simd::Scalar => "scalar",
            Simd::Neon => "neon",
            Simd::Avx2 => "avx2",
            Simd::Avx512 => "avx512",
        }
    }

    /// Whether this CPU has it. Asked before each call of a loop that is compiled for it, so that the answer is kept.
    #[inline]
    pub fn is_available(self) -> bool {
        static AVAILABLE: OnceLock<[bool; Simd::ALL.len()]> = OnceLock::new();
        AVAILABLE.get_or_init(|| Simd::ALL.map(Simd::is_found))[self as usize]
    }

    fn is_found(self) -> bool {
        match self {
            Simd::Scalar => true,
            Simd::Neon => cfg!(all(target_arch = "aarch64", target_endian = "little")),
            #[cfg(target_arch = "x86_64")]
            Simd::Avx2 => {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("bmi1")
                    && is_x86_feature_detected!("bmi2")
                    && is_x86_feature_detected!("lzcnt")
                    && is_x86_feature_detected!("popcnt")
            }
            #[cfg(target_arch = "x86_64")]
            Simd::Avx512 => {
                Simd::Avx2.is_found()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512cd")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vbmi")
                    && is_x86_feature_detected!("avx512vbmi2")
            }
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }
}

/// The set in use: the one that `MMH_SIMD` names if the CPU has it, else the best of this CPU.
///
/// Decided once per process. `MMH_SIMD` takes `scalar`, `neon`, `avx2` and `avx512`.
pub fn simd() -> Simd {
    #[cfg(feature = "choose-simd")]
    if let Some(chosen) = chosen::get() {
        return chosen;
    }
    static USED: OnceLock<Simd> = OnceLock::new();
    *USED.get_or_init(|| {
        let best = Simd::ALL.into_iter().rev().find(|s| s.is_available()).unwrap_or(Simd::Scalar);
        match std::env::var("MMH_SIMD").as_deref() {
            Ok(name) => Simd::ALL.into_iter().find(|s| s.name() == name && s.is_available()).unwrap_or(best),
            Err(_) => best,
        }
    })
}

#[cfg(feature = "choose-simd")]
pub use chosen::on;

/// One thread may use another set than the process: for fuzz targets, which compare them.
#[cfg(feature = "choose-simd")]
mod chosen {
    use super::Simd;
    use std::cell::Cell;

    thread_local! {
        static CHOSEN: Cell<Option<Simd>> = const { Cell::new(None) };
    }

    pub(super) fn get() -> Option<Simd> {
        CHOSEN.get()
    }

    /// Runs `f` on a set that the CPU has; on another, as if none had been chosen.
    pub fn on<R>(simd: Simd, f: impl FnOnce() -> R) -> R {
        CHOSEN.set(Some(simd).filter(|s| s.is_available()));
        let result = f();
        CHOSEN.set(None);
        result
    }
}
