// `athanor clean`: raw text in, cleaned documents and a report out.
//
// The work is cut into records. Stage 1 reads, edits, judges and signs them; every shard takes its own part
// (whole files when there are many, else blocks of a file in turn) and leaves three stage files in
// `work_dir`. Stage 2, the merge, finds the duplicates among all signatures, and copies the documents that
// stay, in input order, to the output. The output has the same bytes for any number of shards and threads.
// Stage 1 holds a few blocks in memory; the merge about 24 + 16 bands + bands x rows bytes per surviving
// document (360 with the defaults), never the texts.
//
// n processes (ranks of MPI, jobs of a cluster) call `clean_shard` with {i, n}; when all have returned, one
// of them calls `merge_shards(n)`. Stage files carry the digest of the configuration and of the list of
// inputs with their sizes, so that left-overs of another run are refused.
#pragma once

#include "configs/clean_config.h"
#include "core/file_system.h"
#include "data/clean/report.h"
#include "data/clean/stage_files.h"

namespace athanor::clean {

/// Stage 1 of one shard, on the compute threads. Errors: ConfigError (see `check_clean_config`),
/// MissingInputError (a pattern without a file), DataError (a damaged file, when so configured),
/// CannotWriteError, IoError. Nothing is left under a final name when it throws.
void clean_shard(const configs::CleanConfig& config, core::FileSystem& fs, const Shard& shard);

/// Stage 2 over `num_shards` finished shards: writes output and reports, then removes the stage files, with
/// those that killed runs left. Errors: those of `clean_shard`; DataError also for a file of which no record
/// could be read, when so configured, with nothing published.
CleanReport merge_shards(const configs::CleanConfig& config, core::FileSystem& fs, int num_shards);

/// Both stages in this process.
CleanReport run_clean(const configs::CleanConfig& config, core::FileSystem& fs);

/// Throws ConfigError, naming every option at fault: the ranges and rules that `athanor check` knows.
void check_clean_config(const configs::CleanConfig& config);

}  // namespace athanor::clean
