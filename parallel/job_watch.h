// Watches the other ranks of this machine, and ends the job with one report when it cannot go on.
//
// A thread waits for the end of the other ranks' processes: one that ends before its session does is reported
// at once, whatever the other ranks are doing. `fail` ends the job: of all ranks that fail, also on different
// machines, one reports. It reads the progress board of its machine, asks the other machines for theirs (any
// rank of a machine whose process runs answers for all of it, from the shared board), writes the flight
// records, logs the report and aborts. The others keep quiet until they are ended.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/error.h"
#include "parallel/progress_board.h"
#include "parallel/stall_report.h"

namespace athanor::parallel {

/// In the shared memory of one machine, zero at first.
struct alignas(64) ReportDesk {
  std::atomic<int32_t> reporter;  ///< 1 + the world rank that reports, of any machine; 0: nobody yet
  std::atomic<int32_t> answers;   ///< how many inquiries of other machines were answered
};

struct JobFacts {
  int rank = 0;
  double timeout_s = 0;              ///< waits shorter than half of it are held against nobody
  std::vector<std::string> hosts;    ///< by world rank
  std::vector<int> machine_of_rank;  ///< by world rank: which ranks share memory
  int control_handle = 0;            ///< MPI_Comm_c2f of a communicator over all ranks, used for this alone
  std::shared_ptr<const std::vector<std::string>> axis_names;  ///< by axis_idx
};

class JobWatch {
 public:
  /// Starts the thread. `desk` and `board` outlive this. Every rank has entered its process id on the board.
  JobWatch(JobFacts facts, ReportDesk* desk, ProgressBoard* board);
  ~JobWatch();
  JobWatch(const JobWatch&) = delete;
  JobWatch& operator=(const JobWatch&) = delete;

  /// Where flight records go; empty (at first): nowhere.
  void set_flight_directory(const std::string& directory);
  /// The session ends in order: nobody is missed from now on.
  void stop();
  /// Ends the job with the error's exit code. Returns never. From any thread.
  [[noreturn]] void fail(const core::Error& error);

 private:
  class Peers;
  class Mail;
  void run();
  void report_lost(const std::vector<int>& lost);
  void answer();
  bool claim_report();
  [[noreturn]] void wait_to_be_ended(int exit_code);
  std::string explain(const std::string& reason, double patience_s);
  void let_others_arrive() const;
  StallView local_view() const;
  void ask_other_machines(StallView& view, double patience_s);
  std::string write_flights(const StallView& view, const std::string& reason);

  JobFacts facts_;
  ReportDesk* desk_;
  ProgressBoard* board_;
  std::unique_ptr<Peers> peers_;
  std::unique_ptr<Mail> mail_;  // null: the job runs on one machine
  std::mutex mutex_;            // of flight_directory_
  std::string flight_directory_;
  int stop_event_ = -1;
  std::thread thread_;
};

}  // namespace athanor::parallel
