//! Compares a lake with its sources, and makes its cursors again.
