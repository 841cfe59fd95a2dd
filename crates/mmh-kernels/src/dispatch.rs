//! Compiles one loop for each instruction set and picks at run time.

/// `multiversion! { pub fn name(args) -> Ret = path::to::generic; on on_name }` makes `name`, which runs the generic
/// function compiled for [`crate::cpu::simd`], and `on_name`, which takes the set as its first argument (for tests and benches;
/// a set that the CPU lacks falls back to the baseline).
macro_rules! multiversion {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? = $generic:path; on $on:ident) => {
        $(#[$meta])*
        #[allow(dead_code)]
        $vis fn $name($($arg: $ty),*) $(-> $ret)? {
            $on(crate::cpu::simd(), $($arg),*)
        }

        /// The same on the given instruction set.
        #[allow(clippy::too_many_arguments)]
        $vis fn $on(simd: crate::cpu::Simd, $($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
                fn avx2($($arg: $ty),*) $(-> $ret)? {
                    $generic($($arg),*)
                }
                #[target_feature(
                    enable = "avx2,bmi1,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,avx512vbmi2"
                )]
                fn avx512($($arg: $ty),*) $(-> $ret)? {
                    $generic($($arg),*)
                }
                match simd {
                    // SAFETY: `is_available` has just seen every feature that the function is compiled with.
                    crate::cpu::Simd::Avx512 if simd.is_available() => return unsafe { avx512($($arg),*) },
                    // SAFETY: as above.
                    crate::cpu::Simd::Avx2 if simd.is_available() => return unsafe { avx2($($arg),*) },
                    _ => {}
                }
            }
            let _ = simd;
            $generic($($arg),*)
        }
    };
}
