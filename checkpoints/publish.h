// The last act of a save, done by rank 0 behind the training: all parts become one checkpoint.
//
//     step-00000120.tmp-ID/   rank-*.safetensors  part-*.json   every rank, each file synced
//                             manifest.json                     here, after all parts were checked; synced
//     step-00000120/                                            one rename; the parent directory synced
//
// Whatever happens before the rename leaves the checkpoints as they were; after it the new one is complete.
#pragma once

#include <atomic>
#include <string>

#include "checkpoints/manifest.h"
#include "checkpoints/part.h"
#include "core/file_system.h"

namespace athanor::checkpoints {

struct PublishRequest {
  std::string directory;  ///< of the checkpoints
  SaveIdentity identity;
  Progress progress;
  std::string training_state;
  std::string config;
  double deadline_s = 600;  ///< for the parts of the other ranks, from now
};

/// "step-00000120.tmp-ID"
std::string temporary_checkpoint_name(const SaveIdentity& identity);

/// Waits for the part of every rank, checks that they belong together, that their files are there and that
/// their slices cover every tensor exactly once; writes the manifest; publishes. Returns the path of the
/// checkpoint. A checkpoint of the same step that is already there is replaced (and comes back if the program
/// dies in between: clean_leftovers). Errors: CommError (deadline), IoError (a rank gave up; disk), DataError
/// (parts contradict each other), SaveCancelled.
std::string publish(core::FileSystem& fs, const PublishRequest& request, const std::atomic<bool>& cancelled);

}  // namespace athanor::checkpoints
