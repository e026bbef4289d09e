//! Destinations that lack what a link goes on from.
