// The funnel as people and programs read it.
#pragma once

#include <string>

#include "data/clean/funnel.h"

namespace athanor::clean {

struct CleanReport {
  Funnel funnel;
  std::vector<std::string> outputs;  ///< files written
  /// Of both stages: the longest shard of stage 1 and the merge. Where they ran one after the other, or
  /// waited for each other, this is what it takes when all shards run at once.
  double seconds = 0;
};

/// Keys: documents_in, bytes_in, documents_out, bytes_out, rules (in order: documents and bytes in, removed
/// and out, examples), edits, languages, near_duplicate_clusters, damaged_files, outputs, seconds.
std::string report_json(const CleanReport& report);

/// A table for the terminal: one line per rule that removed something.
std::string report_table(const CleanReport& report);

/// One page without outside references: the funnel as bars, edits, languages, examples.
std::string report_html(const CleanReport& report);

}  // namespace athanor::clean
