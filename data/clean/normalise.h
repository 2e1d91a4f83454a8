// One form for the same text: Unicode normalisation, full-width letters, invisible characters, white space.
#pragma once

#include <string>

#include "configs/clean_config.h"

namespace athanor::clean {

/// Changes `text` (well-formed UTF-8) in place. Line ends become LF; other white space becomes a
/// blank except tabs; control, zero-width (joiners stay outside Latin and Chinese), bidirectional and
/// byte-order-mark characters go; trailing white space of lines, surplus blank lines and blank lines around
/// the text go. Returns true when it changed.
bool normalise(const configs::CleanNormalise& options, std::string& text);

}  // namespace athanor::clean
