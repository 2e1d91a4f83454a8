#include "parallel/job_watch.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <poll.h>
#include <set>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fmt/core.h>
#include <mpi.h>

#include "core/file_system.h"
#include "core/log.h"
#include "parallel/flight_record.h"
#include "parallel/mpi_support.h"

namespace athanor::parallel {
namespace {

constexpr int kLookMilliseconds = 100;
// Processes that end together are ended from outside: who still runs after this was not among them.
constexpr auto kGraceOfLoss = std::chrono::milliseconds(150);
// A launcher kills the rest of a job about a second after one of its processes ended.
constexpr double kPatienceAfterLoss = 0.4;
constexpr double kPatienceOfReport = 2.0;
// A call that differs is noticed by the first rank that meets it; the others are there a moment later.
constexpr double kMaxArrivalSeconds = 0.3;
constexpr auto kMaxWaitForEnd = std::chrono::seconds(15);

double seconds_between(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// Signals are the business of the main thread.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_{};
};

}  // namespace

// ---- the processes of this machine -----------------------------------------------------------------------

class JobWatch::Peers {
 public:
  Peers(const ProgressBoard& board, int own_rank) : board_(board) {
    for (int rank : board.world_ranks())
      if (rank != own_rank) add(rank, *board.slot_of(rank));
  }
  ~Peers() {
    for (const Peer& peer : peers_)
      if (peer.fd >= 0) ::close(peer.fd);
  }
  Peers(const Peers&) = delete;
  Peers& operator=(const Peers&) = delete;

  /// Sleeps for a while, less when a process ends or `event` is signalled; false: the latter.
  bool sleep(int event) const {
    std::vector<pollfd> fds{{event, POLLIN, 0}};
    for (const Peer& peer : peers_)
      if (peer.fd >= 0) fds.push_back({peer.fd, POLLIN, 0});
    ::poll(fds.data(), fds.size(), kLookMilliseconds);
    return fds.front().revents == 0;
  }

  /// Takes those that have ended out of the watch; gives the ones whose session had not.
  std::vector<int> take_lost() {
    std::vector<int> lost;
    std::erase_if(peers_, [&](const Peer& peer) {
      if (!has_ended(peer)) return false;
      if (board_.slot_of(peer.world_rank)->state == RankState::kRunning) lost.push_back(peer.world_rank);
      if (peer.fd >= 0) ::close(peer.fd);
      return true;
    });
    return lost;
  }

 private:
  struct Peer {
    int world_rank;
    int pid;
    int fd;  // -1: the system has no descriptors of processes
  };

  // Ranks in other containers have process ids that mean nothing here.
  void add(int world_rank, const BoardSlot& slot) {
    const int pid = slot.pid;
    if (slot.pid_namespace != own_pid_namespace() || process_state(pid) == ProcessState::kGone) return;
    peers_.push_back({world_rank, pid, static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))});
  }

  static bool has_ended(const Peer& peer) {
    if (peer.fd < 0) return process_state(peer.pid) == ProcessState::kGone;
    pollfd fd{peer.fd, POLLIN, 0};
    return ::poll(&fd, 1, 0) > 0;
  }

  const ProgressBoard& board_;
  std::vector<Peer> peers_;
};

// ---- between machines ------------------------------------------------------------------------------------

// An inquiry is the asking world rank; the answer is the board of the asked machine.
class JobWatch::Mail {
 public:
  explicit Mail(int control_handle) : comm_(MPI_Comm_f2c(control_handle)) {}

  struct Answer {
    std::vector<int> world_ranks;
    std::vector<ProcessState> states;
    std::unique_ptr<BoardSlot[]> slots;
  };

  void ask(int own_rank, int world_rank) {
    MPI_Request request = MPI_REQUEST_NULL;
    inquiry_ = own_rank;
    if (MPI_Isend(&inquiry_, 1, MPI_INT32_T, world_rank, kInquiry, comm_, &request) == MPI_SUCCESS)
      MPI_Request_free(&request);
  }

  /// The world rank that asks; -1: nobody.
  int next_inquiry() {
    MPI_Status status;
    if (!has_arrived(kInquiry, status)) return -1;
    int32_t from = -1;
    MPI_Recv(&from, 1, MPI_INT32_T, status.MPI_SOURCE, kInquiry, comm_, MPI_STATUS_IGNORE);
    return from;
  }

  void send_answer(int to, const ProgressBoard& board, const StallView& view) {
    std::vector<char> message;
    for (int rank : board.world_ranks()) {
      const std::array<int32_t, 2> head = {rank, static_cast<int32_t>(view.ranks[rank].process)};
      append(message, head.data(), sizeof(head));
      append(message, board.slot_of(rank), sizeof(BoardSlot));
    }
    answers_.push_back(std::move(message));
    MPI_Request request = MPI_REQUEST_NULL;
    if (MPI_Isend(answers_.back().data(), static_cast<int>(answers_.back().size()), MPI_BYTE, to, kAnswer,
                  comm_, &request) == MPI_SUCCESS)
      MPI_Request_free(&request);
  }

  bool next_answer(Answer& answer) {
    MPI_Status status;
    if (!has_arrived(kAnswer, status)) return false;
    int num_bytes = 0;
    MPI_Get_count(&status, MPI_BYTE, &num_bytes);
    std::vector<char> message(num_bytes);
    MPI_Recv(message.data(), num_bytes, MPI_BYTE, status.MPI_SOURCE, kAnswer, comm_, MPI_STATUS_IGNORE);
    constexpr size_t kEntryBytes = 2 * sizeof(int32_t) + sizeof(BoardSlot);
    const size_t num_slots = message.size() / kEntryBytes;
    answer.slots = std::make_unique<BoardSlot[]>(num_slots);
    for (size_t i = 0; i < num_slots; ++i) {
      std::array<int32_t, 2> head{};
      std::memcpy(head.data(), message.data() + i * kEntryBytes, sizeof(head));
      std::memcpy(static_cast<void*>(&answer.slots[i]), message.data() + i * kEntryBytes + sizeof(head),
                  sizeof(BoardSlot));
      answer.world_ranks.push_back(head[0]);
      answer.states.push_back(static_cast<ProcessState>(head[1]));
    }
    return true;
  }

  /// Answers whose slots a report reads.
  std::vector<Answer> received;

 private:
  static constexpr int kInquiry = 1, kAnswer = 2;

  bool has_arrived(int tag, MPI_Status& status) {
    int flag = 0;
    return MPI_Iprobe(MPI_ANY_SOURCE, tag, comm_, &flag, &status) == MPI_SUCCESS && flag != 0;
  }
  static void append(std::vector<char>& message, const void* data, size_t size) {
    const char* bytes = static_cast<const char*>(data);
    message.insert(message.end(), bytes, bytes + size);
  }

  MPI_Comm comm_;
  int32_t inquiry_ = 0;
  std::vector<std::vector<char>> answers_;  // on their way; the job ends before they are of no use
};

// ---- the watch -------------------------------------------------------------------------------------------

JobWatch::JobWatch(JobFacts facts, ReportDesk* desk, ProgressBoard* board)
    : facts_(std::move(facts)),
      desk_(desk),
      board_(board),
      peers_(std::make_unique<Peers>(*board, facts_.rank)),
      stop_event_(::eventfd(0, EFD_CLOEXEC)) {
  if (stop_event_ < 0) throw core::IoError("eventfd: {}", std::strerror(errno));
  const auto& machines = facts_.machine_of_rank;
  if (std::any_of(machines.begin(), machines.end(), [&](int machine) { return machine != machines.front(); }))
    mail_ = std::make_unique<Mail>(facts_.control_handle);
  const SignalsBlocked blocked;
  thread_ = std::thread([this] { run(); });
}

JobWatch::~JobWatch() {
  stop();
  ::close(stop_event_);
}

void JobWatch::stop() {
  const uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(stop_event_, &one, sizeof(one));
  if (thread_.joinable()) thread_.join();
}

void JobWatch::set_flight_directory(const std::string& directory) {
  const std::lock_guard lock(mutex_);
  flight_directory_ = directory;
}

void JobWatch::run() {
  while (peers_->sleep(stop_event_)) {
    const std::vector<int> lost = peers_->take_lost();
    if (!lost.empty()) report_lost(lost);
    if (mail_) answer();
  }
}

void JobWatch::report_lost(const std::vector<int>& lost) {
  std::this_thread::sleep_for(kGraceOfLoss);
  fail(core::CommError(
      "{} on {} lost: the process ended without ending its session (killed, out of memory, or crashed); see "
      "its log and the launcher's message, then start again from the newest checkpoint",
      describe_ranks(lost), facts_.hosts[lost.front()]));
}

// One rank per machine answers. The report is left to the asking rank when it is lower than the one that
// reports here, so that two machines never wait for each other.
void JobWatch::answer() {
  for (int from = mail_->next_inquiry(); from >= 0; from = mail_->next_inquiry()) {
    int32_t reporter = desk_->reporter;
    while ((reporter == 0 || from + 1 < reporter) &&
           !desk_->reporter.compare_exchange_weak(reporter, from + 1)) {
    }
    if (desk_->answers.fetch_add(1) > 0) continue;
    const StallView view = local_view();
    // First the records: with the last answer the job ends.
    write_flights(view, fmt::format("world rank {} on {} reports a failure", from, facts_.hosts[from]));
    mail_->send_answer(from, *board_, view);
  }
}

// ---- the end ---------------------------------------------------------------------------------------------

bool JobWatch::claim_report() {
  int32_t nobody = 0;
  return desk_->reporter.compare_exchange_strong(nobody, facts_.rank + 1);
}

void JobWatch::wait_to_be_ended(int exit_code) {
  std::this_thread::sleep_for(kMaxWaitForEnd);
  MPI_Abort(MPI_COMM_WORLD, exit_code);
  std::_Exit(exit_code);
}

void JobWatch::fail(const core::Error& error) {
  const int exit_code = static_cast<int>(error.exit_code());
  const bool is_lost = std::this_thread::get_id() == thread_.get_id();
  if (!is_lost) board_->own().state = RankState::kFailed;
  if (!claim_report()) wait_to_be_ended(exit_code);
  std::string message = error.what();
  if (!is_lost) let_others_arrive();
  if (error.exit_code() == core::ExitCode::kPeerLost)
    message += explain(message, is_lost ? kPatienceAfterLoss : kPatienceOfReport);
  core::log::error("{}", message);
  core::log::flush();
  MPI_Abort(MPI_COMM_WORLD, exit_code);
  std::_Exit(exit_code);
}

std::string JobWatch::explain(const std::string& reason, double patience_s) {
  try {
    StallView view = local_view();
    if (mail_) ask_other_machines(view, patience_s);
    std::string text;
    if (const std::string report = stall_report(view); !report.empty()) text += "\n" + report;
    return text + write_flights(view, reason);
  } catch (const std::exception& failure) {
    return fmt::format("\n(no more is known: {})", failure.what());
  }
}

StallView JobWatch::local_view() const {
  StallView view{.ranks = std::vector<RankView>(facts_.hosts.size()),
                 .axis_names = *facts_.axis_names,
                 .now_ns = unix_ns(),
                 .min_wait_s = facts_.timeout_s / 2};
  for (size_t r = 0; r < facts_.hosts.size(); ++r) {
    RankView& rank = view.ranks[r];
    rank.host = facts_.hosts[r];
    rank.slot = board_->slot_of(static_cast<int>(r));
    if (rank.slot && rank.slot->pid_namespace == own_pid_namespace())
      rank.process = process_state(rank.slot->pid);
  }
  return view;
}

void JobWatch::let_others_arrive() const {
  const int64_t now_ns = unix_ns();
  for (const CallFacts& call : recent_calls(board_->own()))
    if (call.is_waited_for() && static_cast<double>(now_ns - call.wait_ns) * 1e-9 > kMaxArrivalSeconds)
      return;
  std::this_thread::sleep_for(
      std::chrono::duration<double>(std::min(kMaxArrivalSeconds, facts_.timeout_s / 4)));
}

void JobWatch::ask_other_machines(StallView& view, double patience_s) {
  std::set<int> silent;
  for (size_t r = 0; r < view.ranks.size(); ++r) {
    if (view.ranks[r].slot) continue;
    silent.insert(facts_.machine_of_rank[r]);
    mail_->ask(facts_.rank, static_cast<int>(r));
  }
  const auto begin = std::chrono::steady_clock::now();
  while (!silent.empty() && seconds_between(begin) < patience_s) {
    Mail::Answer answer;
    while (mail_->next_answer(answer)) {
      for (size_t i = 0; i < answer.world_ranks.size(); ++i) {
        RankView& rank = view.ranks.at(answer.world_ranks[i]);
        rank.slot = &answer.slots[i];
        rank.process = answer.states[i];
        silent.erase(facts_.machine_of_rank.at(answer.world_ranks[i]));
      }
      mail_->received.push_back(std::move(answer));
    }
    if (desk_->reporter != facts_.rank + 1) wait_to_be_ended(static_cast<int>(core::ExitCode::kPeerLost));
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

// The records of this machine's ranks; a line that says where they are.
std::string JobWatch::write_flights(const StallView& view, const std::string& reason) {
  std::string directory;
  {
    const std::lock_guard lock(mutex_);
    directory = flight_directory_;
  }
  if (directory.empty()) return "";
  try {
    for (int r : board_->world_ranks()) {
      const auto file = core::posix_file_system().create(directory + "/" + flight_file_name(r));
      file->append(flight_record(view.ranks[r], {r, facts_.rank, reason}, *facts_.axis_names));
      file->close();
    }
  } catch (const core::Error& failure) {
    return fmt::format("\nflight records could not be written: {}", failure.what());
  }
  return fmt::format("\nflight records of {}: {}/flight-*.json", describe_ranks(board_->world_ranks()),
                     directory);
}

}  // namespace athanor::parallel
