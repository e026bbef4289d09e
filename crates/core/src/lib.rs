//! The types and rules of teeline: a backup engine that reads a database once and leaves verified, restorable copies of
//! it on many destinations at the same time.
//!
//! Everything here is pure: functions and state machines over values, with time and randomness passed in. There is no
//! I/O, no runtime, no thread and no clock. The traits that do I/O ([`Sink`], [`Upload`], [`Source`], [`Scan`]) are
//! implemented elsewhere.
//!
//! In the order in which a record meets them: [`Item`] (from a source) → [`Cutter`] → [`Block`] → [`BlockEncoder`] →
//! [`EncodedBlock`] → [`Placer`] → [`Placement`] (to every destination). What is left behind is described by [`Index`],
//! [`Manifest`], [`CatalogEntry`], [`RunClaim`] and [`RunRecord`]; [`Strategy`] decides when it is real,
//! [`Reconstruction`] makes a lost manifest again, and [`Retention`] says what is kept.

mod block;
mod bounded_lines;
mod buffers;
pub mod chain;
mod chunk;
mod codec;
pub mod commit;
mod compress;
mod digest;
pub mod document;
mod error;
mod file_name;
mod frame;
mod hex32;
mod id;
mod index;
mod key;
mod lag;
pub mod layout;
mod manifest;
mod mask;
mod metadata;
mod part;
mod path_template;
mod piece;
mod placing;
mod plain_http;
pub mod printable;
mod probe;
mod progress;
pub mod published_marker;
mod random;
mod reconstruct;
mod records;
mod reorder;
mod resume;
mod retention;
mod retry;
mod sample;
mod schedule;
pub mod seal;
mod sink;
mod source;
mod span;
mod strategy;
mod stream;
mod target;
mod time;
mod time_zone;
mod turn;
mod validate;
mod value_at;
mod verification;

pub use block::{
    Block, CutLimits, Cutter, LineOrigin, RECORD_BYTES_MAX, ResourceId, Seq, record_too_large,
};
pub use buffers::Buffers;
pub use chain::{BackupRef, Changes};
pub use chunk::{BlockEncoder, ChunkEntry, EncodeStep, EncodedBlock};
pub use codec::{Decoder, Encoder};
pub use compress::Compression;
pub use digest::{Digest, DigestOfDigests, Digester, NotADigest};
pub use document::Document;
pub use error::{BackupError, Class, ErrorReport, mistrusted, plain_words};
pub use file_name::Stems;
pub use frame::{Frame, FrameHeader};
pub use hex32::Hex32;
pub use id::{BackupId, BackupType, BadId};
pub use index::{
    INDEX_FORMAT, INDEX_VERSION, Index, IndexBuilder, ObjectRow, ResourceEnd, SegmentNames,
    SegmentSums,
};
pub use key::ObjectKey;
pub use lag::{LAG_PATIENCE_MS_DEFAULT, LagPolicy, SPILL_BYTES_DEFAULT, Standing};
pub use manifest::{
    AttachmentEntry, DELETED_NAME, LINES_NAME, Manifest, OBJECTS_NAME, PlacedResources, PlanEntry,
    PlannedDestination, ResourceEntry, SETTLED_NAME, SealedManifest, SegmentEntry, SourceEntry,
    SourceKind, Totals,
};
pub use mask::{looks_like_url, masked};
pub use metadata::{METADATA_BYTES_MAX, METADATA_LEVELS_MAX, Metadata};
pub use part::{Conditions, InPart, Partitions, Query};
pub use path_template::PathTemplate;
pub use piece::{Piece, WindowBytes};
pub use placing::{INDEX_BYTES_MAX, Placement, Placer, ResourceKind, SegmentId};
pub use plain_http::{PLAIN_HTTP_WARNING, new_plain_http_host, plain_http_host};
pub use probe::{ProbeRecord, Promises};
pub use progress::{DestinationState, Narrator, ProgressEvent};
pub use random::Random;
pub use reconstruct::{MISSING_NAMED_MAX, MissingFile, Reconstruction};
pub use records::{
    AskedFor, CatalogEntry, ClaimedResource, ClaimedResources, DestinationMarker,
    DestinationReport, DestinationStatus, RestoreMarker, RunClaim, RunHead, RunRecord, RunStatus,
    Verified, Withdrawal, WithdrawalReason,
};
pub use reorder::Reorder;
pub use resume::{
    Basis, Comparison, Holdings, Inventory, KeptSegment, ObjectsRead, ResumePoint, Resumed,
    Resumption, ResumptionMarker, SegmentPlace,
};
pub use retention::{Judged, KeptBy, Retained, Retention, Rule};
pub use retry::{Breaker, BreakerPolicy, RepeatBudget, RetryPolicy, Tries, retry_after_ms};
pub use sample::{Sample, SampleLimits, SampleShare};
pub use schedule::{Agenda, Awaited, CronExpression, NoCalendarEvent, NotACronExpression, Timing};
pub use sink::{
    Availability, Capabilities, ObjectMeta, ReadBack, Reading, Sink, Thaw, ThawTier,
    UnfinishedUpload, Upload, read_in_steps,
};
pub use source::{
    Attachment, Item, Placed, PlannedResource, RecordBatch, ResourceCounts, Scan, ScanPlan,
    Selection, SettleOutcome, SettledCounts, Settling, Source,
};
pub use span::{NotASpan, Span};
pub use strategy::{Command, DestinationId, Event, Outcome, Strategy, StrategyKind};
pub use stream::StreamPart;
pub use target::{RestoreCounts, Restoring, RestoringResource, Target};
pub use time::{NotADayOrTime, NotATime, Timestamp};
pub use time_zone::{NotATimeZone, TimeZone};
pub use turn::{ProcessMark, Turn, TurnEnd};
pub use validate::{LineCheck, check_lines};
pub use value_at::value_at;
pub use verification::{
    Depth, RecordedDamage, Verification, VerificationRecord, VerificationResult, Verifications,
};
