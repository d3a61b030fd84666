// The books of what was sent: against a simple model, through all three ways of keeping them.
#include "scoreboard.h"

#include <algorithm>
#include <deque>
#include <vector>

#include <gtest/gtest.h>

#include "sluice/base/random.h"

namespace sluice::tcp {
namespace {

struct Model {
  Seq seq;
  std::uint32_t len;
  Fate fate;
};

struct ScoreboardCase {
  const char* name;
  std::uint32_t most;    // segments
  std::uint32_t blocks;  // of memory
};
const ScoreboardCase kScoreboardCases[] = {
    {"one", 1, 4},
    {"a_page", 100, 4},
    {"pages", 3000, 64},
    {"too_little_memory", 3000, 8},
};
class ScoreboardModel : public ::testing::TestWithParam<ScoreboardCase> {};

TEST_P(ScoreboardModel, SumsAndListsStayRight) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Random random(seed);
    BlockPool pool(GetParam().blocks * kBlockSize);
    const BlockId bytes = pool.take();  // a send buffer without end
    pool.next(bytes) = bytes;
    pool.end(bytes) = kBlockSize;
    Scoreboard board;
    std::deque<Model> model;
    std::vector<Seq> lost;  // in order
    Seq una = 0xffff0000, max = una;
    std::uint32_t us = 0;
    for (int step = 0; step < 3000; ++step) {
      const std::uint32_t size = board.size();
      const std::uint32_t some = size == 0 ? 0 : random.below(size);
      const SegmentPos pos = board.first() + some;
      switch (random.below(8)) {
        case 0: {  // an acknowledgment, mostly of whole segments
          if (size == 0 || random.below(3) != 0) break;
          Seq to = board.at(pool, pos).seq;
          if (random.below(4) == 0) to += random.below(board.at(pool, pos).seq_len());
          if (random.below(10) == 0) to = max;
          board.release(pool, to, [](const SentSegment&) {});
          std::erase_if(lost, [&](Seq seq) { return seq_lt(seq, to); });
          while (!model.empty() && seq_le(model.front().seq + model.front().len, to)) model.pop_front();
          if (!model.empty() && seq_lt(model.front().seq, to)) {
            if (model.front().fate == Fate::kLost) lost.push_back(to);
            model.front().len -= to - model.front().seq;
            model.front().seq = to;
          }
          una = to;
          break;
        }
        case 1:
          if (size == 0 || model[some].fate == Fate::kSacked) break;
          std::erase(lost, model[some].seq);
          model[some].fate = Fate::kSacked;
          board.mark_sacked(pool, pos);
          break;
        case 2:
          if (size == 0 || model[some].fate != Fate::kInFlight) break;
          model[some].fate = Fate::kLost;
          lost.push_back(model[some].seq);
          board.mark_lost(pool, pos);
          break;
        case 3: {
          if (!board.has_lost()) break;
          const SegmentPos first = board.first_lost();
          const auto at =
              std::ranges::find_if(model, [&](const Model& m) { return m.seq == board.at(pool, first).seq; });
          ASSERT_EQ(at->fate, Fate::kLost);
          at->fate = Fate::kInFlight;
          std::erase(lost, at->seq);
          board.sent_again(pool, first, ++us);
          break;
        }
        case 4: {
          if (random.below(50) != 0) break;
          const bool all = random.below(2) == 0;
          lost.clear();
          for (Model& m : model) {
            if (m.fate != Fate::kSacked || all) {
              m.fate = Fate::kLost;
              lost.push_back(m.seq);
            }
          }
          board.lose_all(pool, all, [](const SentSegment&) { return false; });
          if (random.below(2) == 0) break;
          board.restore_lost(pool);
          lost.clear();
          for (Model& m : model) {
            if (m.fate == Fate::kLost) m.fate = Fate::kInFlight;
          }
          break;
        }
        default:
          for (std::uint32_t i = random.below(10); i > 0 && board.size() < GetParam().most; --i) {
            if (!board.make_room(pool)) break;
            const std::uint32_t len = 1 + random.below(1448);
            board.append(pool, max, len, false, {bytes, 0}, ++us);
            model.push_back({max, len, Fate::kInFlight});
            max += len;
          }
      }
      ASSERT_TRUE(board.matches(pool, una, max)) << "seed " << seed << " step " << step;
      ASSERT_EQ(board.size(), model.size());
      std::uint32_t sacked = 0;
      for (std::size_t i = 0; i < model.size(); ++i) {
        const SentSegment& s = board.at(pool, board.first() + static_cast<SegmentPos>(i));
        ASSERT_EQ(s.seq, model[i].seq);
        ASSERT_EQ(s.fate, model[i].fate);
        sacked += s.fate == Fate::kSacked ? 1 : 0;
      }
      ASSERT_EQ(board.has_lost(), !lost.empty());
      if (!model.empty()) {
        const SegmentPos from = pos - board.first() < board.size() ? pos : board.first();
        const SegmentPos open = board.skip_sacked(pool, from);
        for (SegmentPos p = from; p != open; ++p) {
          ASSERT_EQ(board.at(pool, p).fate, Fate::kSacked);
        }
        ASSERT_TRUE(open == board.end() || board.at(pool, open).fate != Fate::kSacked);
        const Seq seq = una + random.below(max - una + 1);
        const auto bound = std::ranges::find_if(model, [&](const Model& m) { return seq_ge(m.seq, seq); });
        ASSERT_EQ(board.lower_bound(pool, seq) - board.first(), static_cast<SegmentPos>(bound - model.begin()));
      }
      ASSERT_EQ(board.sacked(), sacked);
    }
    board.clear(pool);
    ASSERT_EQ(pool.used(), 1u);
  }
}
INSTANTIATE_TEST_SUITE_P(Tcp, ScoreboardModel, ::testing::ValuesIn(kScoreboardCases),
                         [](const auto& param_info) { return param_info.param.name; });

TEST(Scoreboard, KeepsNoMemoryForOneSegmentOrNone) {
  BlockPool pool(16 * kBlockSize);
  Scoreboard board;
  for (Seq seq = 0; seq < 100; ++seq) {
    ASSERT_TRUE(board.make_room(pool));
    board.append(pool, seq, 1, false, {}, 0);
    EXPECT_EQ(pool.used(), 0u);
    board.release(pool, seq + 1, [](const SentSegment&) {});
  }
  ASSERT_TRUE(board.make_room(pool));
  board.append(pool, 100, 1, false, {}, 0);
  ASSERT_TRUE(board.make_room(pool));
  board.append(pool, 101, 0, true, {}, 0);
  EXPECT_EQ(pool.used(), 1u);
  board.release(pool, 102, [](const SentSegment&) {});
  EXPECT_EQ(pool.used(), 0u);
}

}  // namespace
}  // namespace sluice::tcp
