//! The program's allocator: mimalloc, told to keep freed pages for a while.
//!
//! A scan frees and allocates megabytes of columns every few milliseconds. Giving the pages back at once means asking
//! the kernel for zeroed ones again: without this setting `analyze` takes nearly twice the time (`benches/README.md`).

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of mimalloc.h, which the crate does not name.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
const MILLISECONDS: std::ffi::c_long = 1000;

/// To be called before any thread is started.
pub fn keep_freed_pages() {
    // SAFETY: the call only stores a number; it is not thread safe, and no thread runs yet.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, MILLISECONDS) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_delay_is_set_and_was_the_one_meant() {
        // SAFETY: the call only reads a number.
        let delay = || unsafe { libmimalloc_sys::mi_option_get(super::PURGE_DELAY) };
        assert_eq!(delay(), 10, "mimalloc.h says (=10)");
        super::keep_freed_pages();
        assert_eq!(delay(), super::MILLISECONDS);
    }
}
