// The processes of a job and how they reach each other. Exactly one Session exists per process; it outlives
// every communicator made from it.
//
// Started alone, a process never touches MPI (no start-up cost). Under mpirun, `start_session` wires the job
// up.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/error.h"
#include "parallel/communicator.h"
#include "parallel/progress_board.h"

namespace athanor::parallel {

/// A process was started by an MPI launcher when one of these is set (checked by launch/, which alone reads
/// the environment): Open MPI's mpirun, PMIx (srun, prrte), PMI (MPICH's hydra).
inline constexpr const char* kLauncherVariables[] = {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"};

struct SessionOptions {
  bool under_mpi_launcher = false;
  /// A wait that sees nothing arrive for so long is a CommError. Long enough for the slowest rank's longest
  /// absence (loading, saving, an uneven batch).
  double timeout_s = 600;
  /// For tests: so many consecutive ranks count as one machine, the others as further ones; 0: as it is.
  int ranks_per_machine = 0;
  /// The name of this machine (empty: what the system says). Placement never depends on it.
  std::string host;

  /// Tensors live on a CUDA device: each rank gets one, and every communicator carries device tensors over
  /// NCCL beside host tensors over MPI.
  bool on_cuda = false;
  bool share_devices = false;                 ///< several ranks of a machine may use one device
  std::string visible_devices;                ///< CUDA_VISIBLE_DEVICES as this rank has it
  std::string nccl_library = "libnccl.so.2";  ///< a path, or a name for the loader
};

class Session {
 public:
  virtual ~Session() = default;
  virtual int rank() const = 0;        ///< world rank
  virtual int size() const = 0;        ///< number of processes of the job
  virtual int local_rank() const = 0;  ///< position among the processes of this machine
  virtual int local_size() const = 0;
  virtual const std::string& host() const = 0;
  /// Where this rank's tensors live.
  virtual c10::Device device() const = 0;

  /// The deadline of communicators made from now on.
  virtual void set_timeout(double timeout_s) = 0;

  /// All ranks.
  virtual Communicator& world() = 0;
  /// The communicator of this rank's group on `axis`. Every rank of the world calls it, in the same order,
  /// with its own group: the world ranks in the order of the axis, itself among them; groups are disjoint and
  /// cover the world.
  virtual std::unique_ptr<Communicator> split(const std::string& axis,
                                              const std::vector<int>& world_ranks) = 0;

  /// Where the trainer says what it is doing; the other ranks can read it even when this one is stuck.
  virtual Progress& progress() = 0;
  /// Where the records of the last calls of every rank go when the job fails (flight_record.h).
  virtual void set_flight_directory(const std::string& directory) = 0;

  /// Ends the session in order: every rank calls it once, after its last collective. Destruction without it
  /// leaves the peers alone; the launcher then ends the job.
  virtual void finish() = 0;
  /// Ends the job because of an error of this rank, with the error's exit code and one report: when several
  /// ranks fail, the first one logs its error, the others keep quiet. A CommError is followed by what is
  /// known of all ranks (job_watch.h).
  [[noreturn]] virtual void fail(const core::Error& error) = 0;
  /// Ends every process of the job at once, without a word; the job's exit code is `exit_code`.
  [[noreturn]] virtual void abort(int exit_code) = 0;
};

/// Throws CommError when the MPI library cannot be started or does not allow calls from several threads, and
/// ConfigError when a device or a library for it is missing.
std::unique_ptr<Session> start_session(const SessionOptions& options);

}  // namespace athanor::parallel
