// Names found in files (an index, a manifest) that are about to become paths, and where links may lead.
#pragma once

#include <string>
#include <string_view>

#include "core/file_system.h"

namespace athanor::checkpoints {

/// True for one plain component: not empty, not "." or "..", no slash, backslash or control character, <= 255
/// bytes.
bool is_plain_file_name(std::string_view name);

/// The directory that holds `path` ("." when it has none).
std::string parent_directory(const std::string& path);

/// Creates a directory and its parents so that they survive a power cut. Errors as
/// FileSystem::create_directories.
void create_durable_directories(core::FileSystem& fs, const std::string& path);

/// True when `path` is a symbolic link on the machine's file system.
bool is_symbolic_link(const std::string& path);

/// Throws DataError when `directory`/`name` is a link that leads out of `directory`, or nowhere. The layout
/// of the Hugging Face cache (snapshots/REVISION/file -> ../../blobs/DIGEST) is allowed.
void check_link_stays_inside(const std::string& directory, const std::string& name);

}  // namespace athanor::checkpoints
