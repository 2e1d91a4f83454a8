// One rank's share of a checkpoint: its files in the directory of the save, then `part-00003.json` that
// vouches for them. The part appears, whole, only after the files are on disk.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "checkpoints/host_snapshot.h"
#include "checkpoints/manifest.h"
#include "core/file_system.h"

namespace athanor::checkpoints {

/// What all ranks of one save agree on, and which rank this is.
struct SaveIdentity {
  std::string run_id;
  std::string start_id;  ///< of this start of the program and this attempt: no other save ever had it
  uint64_t step = 0;
  int rank = 0;
  int num_ranks = 1;
};

/// "part-00003.json"
std::string part_name(int rank);
/// "failed-00003.txt": why a rank gave up, for the rank that waits for its part.
std::string failure_name(int rank);

/// Thrown when a save is given up on request.
struct SaveCancelled {};

/// Writes the snapshot's files into `directory` (which exists), digesting them on the way, and then the part.
/// Bytes go out in small stretches; `cancelled` is looked at between them (SaveCancelled). Errors:
/// CannotWriteError, IoError.
void write_part(core::FileSystem& fs, const std::string& directory, const HostSnapshot& snapshot,
                const SaveIdentity& identity, const std::atomic<bool>& cancelled);

}  // namespace athanor::checkpoints
