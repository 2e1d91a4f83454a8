// The process's compute threads. Work is cut into pieces whose boundaries never depend on the number of
// threads, so that a result may not either; a piece is run whole by one thread.
#pragma once

#include <cstdint>
#include <functional>

namespace athanor::core {

/// Sets how many threads `parallel_for` uses, the caller included (>= 1). Not while a loop is running.
/// IoError when the system does not give so many; then the number stays as it was.
void set_num_threads(int num_threads);
int num_threads();

/// Calls body(i) once for every i in [0, num_pieces), on all threads, in no particular order; returns when
/// all are done. The first exception of a piece is rethrown here. A call from inside a piece runs in line.
/// Threads spin briefly between loops and then sleep. Thread-safe: loops started from several threads take
/// turns.
void parallel_for(int64_t num_pieces, const std::function<void(int64_t)>& body);

}  // namespace athanor::core
