#include "observe/prometheus_exporter.h"

#include <arpa/inet.h>
#include <array>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "core/error.h"

namespace athanor::observe {
namespace {

std::string fetch(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  const std::string request = "GET /metrics HTTP/1.0\r\n\r\n";
  EXPECT_EQ(write(fd, request.data(), request.size()), static_cast<ssize_t>(request.size()));
  std::string answer;
  std::array<char, 4096> block;
  for (ssize_t count = 0; (count = read(fd, block.data(), block.size())) > 0;)
    answer.append(block.data(), static_cast<size_t>(count));
  close(fd);
  return answer;
}

TEST(PrometheusExporter, ServesTheNewestNumbers) {
  PrometheusExporter exporter(0, "quickstart");
  exporter.on_resume(1);
  exporter.on_step({.step = 1, .loss = 9});
  exporter.on_step({.step = 2, .loss = 2.5, .extra = {{"expert load", 1.5}}});
  exporter.on_validation({.step = 2, .loss = 3.5});
  exporter.on_checkpoint({.step = 2, .time = 5, .stall_seconds = 0.25});
  const std::string text = fetch(exporter.port());
  for (const char* line :
       {"athanor_step{run=\"quickstart\"} 2", "athanor_loss{run=\"quickstart\"} 2.5",
        "# TYPE athanor_loss gauge", "athanor_expert_load{run=\"quickstart\"} 1.5",
        "athanor_validation_loss{run=\"quickstart\"} 3.5", "athanor_checkpoints_total{run=\"quickstart\"} 1",
        "athanor_resumes_total{run=\"quickstart\"} 1",
        "athanor_checkpoint_stall_seconds{run=\"quickstart\"} 0.25"})
    EXPECT_NE(text.find(line), std::string::npos) << line << "\n" << text;
}

TEST(PrometheusExporter, APortInUseIsSaid) {
  const PrometheusExporter first(0, "a");
  try {
    const PrometheusExporter second(first.port(), "b");
    FAIL() << "two on one port";
  } catch (const core::IoError& error) {
    EXPECT_NE(std::string(error.what()).find(std::to_string(first.port())), std::string::npos);
  }
}

}  // namespace
}  // namespace athanor::observe
