//! (room of its helper; replaced on landing)
