#include "data/synth/world.h"

#include <span>

#include <fmt/core.h>

namespace athanor::synth {
namespace {

struct Pair {
  std::string_view zh, en;
};

constexpr Pair kFirstSyllables[] = {{"青", "Qing"}, {"云", "Yun"},    {"白", "Bai"},  {"金", "Jin"},
                                    {"玉", "Yu"},   {"龙", "Long"},   {"凤", "Feng"}, {"松", "Song"},
                                    {"柳", "Liu"},  {"梅", "Mei"},    {"竹", "Zhu"},  {"望", "Wang"},
                                    {"临", "Lin"},  {"平", "Ping"},   {"安", "An"},   {"长", "Chang"},
                                    {"石", "Shi"},  {"双", "Shuang"}, {"桃", "Tao"},  {"枫", "Fengye"}};
constexpr Pair kSecondSyllables[] = {{"溪", "xi"},   {"川", "chuan"}, {"湖", "hu"},   {"岭", "ling"},
                                     {"桥", "qiao"}, {"田", "tian"},  {"泉", "quan"}, {"浦", "pu"},
                                     {"沙", "sha"},  {"门", "men"},   {"塘", "tang"}, {"港", "gang"},
                                     {"阳", "yang"}, {"水", "shui"},  {"台", "tai"},  {"原", "yuan"}};
constexpr Pair kProvinces[] = {{"东岚省", "Donglan Province"},   {"西漠省", "Ximo Province"},
                               {"南渚省", "Nanzhu Province"},    {"北宁省", "Beining Province"},
                               {"中陵省", "Zhongling Province"}, {"海曲省", "Haiqu Province"},
                               {"云屏省", "Yunping Province"},   {"江左省", "Jiangzuo Province"}};
constexpr Pair kRivers[] = {
    {"碧落河", "the Biluo River"},   {"沉香江", "the Chenxiang River"}, {"月牙河", "the Yueya River"},
    {"白练江", "the Bailian River"}, {"乌篷河", "the Wupeng River"},    {"玄水", "the Xuan River"},
    {"芦花江", "the Luhua River"},   {"赤霞河", "the Chixia River"},    {"银带河", "the Yindai River"},
    {"听雨江", "the Tingyu River"},  {"落雁河", "the Luoyan River"},    {"古渡江", "the Gudu River"}};
constexpr Pair kMountains[] = {
    {"鹿鸣山", "Luming Mountain"}, {"卧牛岭", "Woniu Ridge"},   {"观星峰", "Guanxing Peak"},
    {"紫烟山", "Ziyan Mountain"},  {"雪盖峰", "Xuegai Peak"},   {"石屏山", "Shiping Mountain"},
    {"老君岭", "Laojun Ridge"},    {"鹰嘴崖", "Yingzui Cliff"}, {"九折山", "Jiuzhe Mountain"},
    {"松涛岭", "Songtao Ridge"},   {"玉笋峰", "Yusun Peak"},    {"望海山", "Wanghai Mountain"}};
constexpr Pair kProducts[] = {{"茶叶", "tea"},
                              {"丝绸", "silk"},
                              {"瓷器", "porcelain"},
                              {"蜂蜜", "honey"},
                              {"木雕", "wood carvings"},
                              {"宣纸", "writing paper"},
                              {"铜器", "copper ware"},
                              {"竹编", "bamboo baskets"},
                              {"苹果", "apples"},
                              {"柑橘", "oranges"},
                              {"核桃", "walnuts"},
                              {"稻米", "rice"},
                              {"陶罐", "clay pots"},
                              {"羊毛毯", "wool blankets"},
                              {"海盐", "sea salt"},
                              {"药材", "medicinal herbs"},
                              {"漆盒", "lacquer boxes"},
                              {"剪纸", "paper cuttings"},
                              {"油纸伞", "oil-paper umbrellas"},
                              {"刺绣", "embroidery"}};
constexpr Pair kDishes[] = {{"荷叶蒸鸡", "chicken steamed in lotus leaves"},
                            {"豆腐鱼汤", "fish soup with tofu"},
                            {"糯米藕", "lotus root with sticky rice"},
                            {"葱油拌面", "noodles with scallion oil"},
                            {"笋干烧肉", "pork with dried bamboo shoots"},
                            {"南瓜饼", "pumpkin cakes"},
                            {"酸菜饺子", "dumplings with pickled cabbage"},
                            {"桂花糕", "osmanthus cakes"},
                            {"烤羊排", "grilled lamb ribs"},
                            {"菌菇火锅", "mushroom hot pot"},
                            {"米酒汤圆", "rice balls in rice wine"},
                            {"腌萝卜", "pickled radish"},
                            {"红豆粥", "red bean porridge"},
                            {"炸小鱼", "fried little fish"}};
constexpr Pair kFestivals[] = {{"灯船节", "the Lantern Boat Festival"},
                               {"采茶节", "the Tea Picking Festival"},
                               {"风筝会", "the Kite Fair"},
                               {"丰收集", "the Harvest Market"},
                               {"赛歌会", "the Singing Contest"},
                               {"雪雕节", "the Snow Sculpture Festival"},
                               {"花车节", "the Flower Cart Festival"},
                               {"鼓王节", "the Drum King Festival"},
                               {"龙舟赛", "the Dragon Boat Race"},
                               {"书市", "the Book Fair"}};
constexpr Pair kLandmarks[] = {{"九孔石桥", "a stone bridge with nine arches"},
                               {"八角木塔", "an eight-sided wooden tower"},
                               {"旧城墙", "an old city wall"},
                               {"古戏台", "an ancient stage"},
                               {"钟楼", "a bell tower"},
                               {"藏书楼", "an old library"},
                               {"百年老树", "a tree that is hundreds of years old"},
                               {"水车", "a giant water wheel"},
                               {"灯塔", "a lighthouse"},
                               {"温泉池", "a hot spring"},
                               {"天文台", "an observatory"},
                               {"植物园", "a botanical garden"}};
constexpr Pair kDirections[] = {{"东", "east"},  {"南", "south"},        {"西", "west"},
                                {"北", "north"}, {"东南", "south-east"}, {"西北", "north-west"}};
constexpr Pair kSurnames[] = {{"林", "Lin"}, {"陈", "Chen"}, {"周", "Zhou"}, {"许", "Xu"},    {"沈", "Shen"},
                              {"韩", "Han"}, {"唐", "Tang"}, {"叶", "Ye"},   {"苏", "Su"},    {"程", "Cheng"},
                              {"何", "He"},  {"罗", "Luo"},  {"高", "Gao"},  {"梁", "Liang"}, {"宋", "Song"},
                              {"谢", "Xie"}, {"邓", "Deng"}, {"冯", "Feng"}, {"曹", "Cao"},   {"袁", "Yuan"}};
constexpr Pair kGivenFirst[] = {{"晓", "Xiao"}, {"文", "Wen"}, {"雨", "Yu"},  {"思", "Si"},
                                {"明", "Ming"}, {"佳", "Jia"}, {"海", "Hai"}, {"春", "Chun"},
                                {"若", "Ruo"},  {"嘉", "Jia"}, {"子", "Zi"},  {"书", "Shu"}};
constexpr Pair kGivenSecond[] = {{"云", "yun"}, {"峰", "feng"}, {"宁", "ning"}, {"远", "yuan"}, {"兰", "lan"},
                                 {"涛", "tao"}, {"雪", "xue"},  {"华", "hua"},  {"平", "ping"}, {"梅", "mei"},
                                 {"志", "zhi"}, {"洁", "jie"},  {"辉", "hui"},  {"琴", "qin"}};
constexpr Pair kJobs[] = {{"木匠", "carpenter"},
                          {"教师", "teacher"},
                          {"医生", "doctor"},
                          {"渔夫", "fisherman"},
                          {"画家", "painter"},
                          {"工程师", "engineer"},
                          {"厨师", "cook"},
                          {"图书管理员", "librarian"},
                          {"邮递员", "postman"},
                          {"记者", "reporter"},
                          {"园丁", "gardener"},
                          {"裁缝", "tailor"},
                          {"钟表匠", "watchmaker"},
                          {"护士", "nurse"},
                          {"火车司机", "train driver"},
                          {"植物学家", "botanist"},
                          {"作曲家", "composer"},
                          {"面包师", "baker"},
                          {"船长", "captain"},
                          {"兽医", "vet"},
                          {"地质学家", "geologist"},
                          {"摄影师", "photographer"},
                          {"翻译", "translator"},
                          {"会计", "accountant"}};
constexpr Pair kHobbies[] = {{"下棋", "playing chess"},
                             {"钓鱼", "fishing"},
                             {"爬山", "climbing mountains"},
                             {"收集邮票", "collecting stamps"},
                             {"观鸟", "watching birds"},
                             {"写信", "writing letters"},
                             {"养花", "growing flowers"},
                             {"做模型", "building models"},
                             {"游泳", "swimming"},
                             {"讲故事", "telling stories"},
                             {"骑自行车", "riding a bicycle"},
                             {"看星星", "watching the stars"},
                             {"练书法", "practising calligraphy"},
                             {"跑步", "running"},
                             {"做风筝", "making kites"},
                             {"读历史书", "reading history"}};
constexpr Pair kInstruments[] = {{"笛子", "the flute"},    {"二胡", "the erhu"},   {"钢琴", "the piano"},
                                 {"琵琶", "the pipa"},     {"吉他", "the guitar"}, {"口琴", "the harmonica"},
                                 {"小提琴", "the violin"}, {"古筝", "the zither"}, {"鼓", "the drums"}};
constexpr Pair kPets[] = {{"一只黑猫", "a black cat"},        {"一条黄狗", "a yellow dog"},
                          {"两只鹦鹉", "two parrots"},        {"一只乌龟", "a tortoise"},
                          {"一匹老马", "an old horse"},       {"三只兔子", "three rabbits"},
                          {"一缸金鱼", "a tank of goldfish"}, {"一只白鹅", "a white goose"},
                          {"一只刺猬", "a hedgehog"},         {"几只鸽子", "some pigeons"}};
constexpr Pair kTraits[] = {{"耐心", "patience"},   {"幽默", "humour"},  {"勇敢", "courage"},
                            {"细心", "care"},       {"诚实", "honesty"}, {"好奇心", "curiosity"},
                            {"慷慨", "generosity"}, {"冷静", "calm"},    {"勤劳", "hard work"},
                            {"善良", "kindness"}};
constexpr Pair kColours[] = {{"红色", "red"},    {"蓝色", "blue"},  {"绿色", "green"},  {"黄色", "yellow"},
                             {"紫色", "purple"}, {"白色", "white"}, {"橙色", "orange"}, {"灰色", "grey"}};

std::string_view in(const Pair& pair, Tongue tongue) {
  return tongue == Tongue::kChinese ? pair.zh : pair.en;
}

// Attributes of one entity: the n-th choice among `pairs`.
class Attributes {
 public:
  Attributes(const core::CounterRng& rng, uint64_t entity) : rng_(rng), entity_(entity) {}
  const Pair& pick(uint64_t attribute, std::span<const Pair> pairs) const {
    return pairs[rng_.below(entity_ * 64 + attribute, pairs.size())];
  }
  uint64_t number(uint64_t attribute, uint64_t low, uint64_t high) const {
    return low + rng_.below(entity_ * 64 + attribute, high - low + 1);
  }

 private:
  const core::CounterRng& rng_;
  uint64_t entity_;
};

// Sets variables whose names begin with a prefix.
class Setter {
 public:
  Setter(std::string_view prefix, Tongue tongue, Variables& variables)
      : prefix_(prefix), tongue_(tongue), variables_(variables) {}
  void operator()(std::string_view name, const Pair& value) {
    (*this)(name, std::string(in(value, tongue_)));
  }
  void operator()(std::string_view name, uint64_t value) { (*this)(name, std::to_string(value)); }
  void operator()(std::string_view name, std::string value) {
    variables_[std::string(prefix_).append(name)] = std::move(value);
  }

 private:
  std::string_view prefix_;
  Tongue tongue_;
  Variables& variables_;
};

}  // namespace

World::World(uint64_t seed) : towns_(seed, "synth/towns"), people_(seed, "synth/people") {}

// The number itself chooses the syllables, so that no two towns and no two people share a name.
std::string World::town_name(uint64_t town, Tongue tongue) const {
  const Pair &first = kFirstSyllables[town % 20], &second = kSecondSyllables[town / 20 % 16];
  return tongue == Tongue::kChinese ? fmt::format("{}{}镇", first.zh, second.zh)
                                    : fmt::format("{}{}", first.en, second.en);
}

std::string World::person_name(uint64_t person, Tongue tongue) const {
  const uint64_t round = person / 20, block = round / 12;
  const Pair& surname = kSurnames[person % 20];
  const Pair &first = kGivenFirst[round % 12],
             &second = kGivenSecond[(round % 12 * 3 + block * 5 + person % 20) % 14];
  return tongue == Tongue::kChinese ? fmt::format("{}{}{}", surname.zh, first.zh, second.zh)
                                    : fmt::format("{} {}{}", surname.en, first.en, second.en);
}

void World::describe_town(uint64_t town, Tongue tongue, std::string_view prefix, Variables& variables) const {
  const Attributes of(towns_, town);
  Setter set(prefix, tongue, variables);
  set("town", town_name(town, tongue));
  set("province", of.pick(0, kProvinces));
  set("river", of.pick(1, kRivers));
  set("mountain", of.pick(2, kMountains));
  set("product", of.pick(3, kProducts));
  set("dish", of.pick(4, kDishes));
  set("festival", of.pick(5, kFestivals));
  set("landmark", of.pick(6, kLandmarks));
  set("founded", of.number(7, 712, 1911));
  set("people", of.number(8, 3, 96));
  set("direction", of.pick(9, kDirections));
  set("mayor", person_name(of.number(10, 0, kNumPeople - 1), tongue));
  set("neighbour", town_name((town + of.number(11, 1, kNumTowns - 1)) % kNumTowns, tongue));
  set("distance", of.number(12, 8, 95));
}

void World::describe_person(uint64_t person, Tongue tongue, std::string_view prefix,
                            Variables& variables) const {
  const Attributes of(people_, person);
  Setter set(prefix, tongue, variables);
  set("name", person_name(person, tongue));
  set("job", of.pick(0, kJobs));
  set("born", of.number(1, 1931, 1999));
  set("home", town_name(of.number(2, 0, kNumTowns - 1), tongue));
  set("hobby", of.pick(3, kHobbies));
  set("instrument", of.pick(4, kInstruments));
  set("pet", of.pick(5, kPets));
  set("trait", of.pick(6, kTraits));
  set("colour", of.pick(7, kColours));
  set("friend", person_name((person + of.number(8, 1, kNumPeople - 1)) % kNumPeople, tongue));
}

}  // namespace athanor::synth
