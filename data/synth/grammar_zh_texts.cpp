#include "data/synth/grammars.h"

namespace athanor::synth {

const std::string_view kChineseTexts = R"g(
# Stories: a beginning, a need, a turn, an end.
zh_story: ~!l=place~~!x=thing~~zs_body~
zs_body: ~zs_open~~*zs_scene~\n\n~*zs_need~~*zs_try~~*zs_turn~\n\n~*zs_help~~*zs_talk~~*zs_try~\n\n~*zs_end~~*zs_moral~|
 ~zs_open~~*zs_need~\n\n~*zs_scene~~*zs_try~~*zs_help~\n\n~*zs_talk~~*zs_turn~~*zs_end~|
 ~*zs_scene~~zs_open~~*zs_need~~*zs_turn~\n\n~*zs_try~~*zs_talk~~*zs_help~~*zs_end~~*zs_moral~|
 ~zs_open~~*zs_scene~~*zs_need~~*zs_talk~\n\n~*zs_turn~~*zs_help~~*zs_end~\n\n~*zs_after~~*zs_moral~
zs_open: ~season~的一个~daytime~，~p_name~提着~x=thing~走到~l=place~。|很多年以前，~t_town~住着一位名叫~p_name~的~p_job~。|
 ~p_name~从小就喜欢~p_hobby~，~t_town~的人都认识这位~p_job~。|那天是~weekday~，~p_name~正在~l=place~~act~。|
 ~p_name~搬到~t_town~的第~#2-9~年，遇到了一件怪事。|天还没有黑，~p_name~就带着~p_pet~出了门。|
 听~relative~说，~t_town~的~l=place~里藏着一个秘密，~p_name~一直想弄明白。|~p_name~和~q_name~约好在~l=place~见面。|
 每到~season~，~p_name~都要去~l=place~住上几天。|~daytime~，一阵敲门声把~p_name~吵醒了。|
 ~t_town~要举办~t_festival~，~p_name~负责~act~。|~relative~交给~p_name~一只~good~木盒，嘱咐路上千万不要打开。
zs_scene: ~weather~，~l~显得格外冷清。|那时候~weather~，街上只有几个赶路的人。|~l~旁边种着一排~tree~，~animal~在树下睡觉。|
 屋里的~thing~摆得整整齐齐，桌上还有半碗~food~。|~weather~，空气里有一股~food~的香味。|
 从这里望过去，可以看见~t_mountain~和弯弯曲曲的~t_river~。|墙角堆着~bad~~thing~，谁也说不清它们放了多久。|
 ~l~里人来人往，有的在~act~，有的在~act~。|~animal~忽然从草丛里钻出来，把大家吓了一跳。|
 路边开满了~flower~，孩子们提着~thing~跑来跑去。
zs_need: 可是~x=thing~不见了，~p_name~心里很~feeling~。|~p_name~发现，要想修好~bad~~x=thing~，非得找到~q_name~不可。|
 原来~q_name~病了，没有人能替他~act~。|就在这时候，~p_name~听见~l~传来求救的声音。|
 ~p_name~想在天黑以前~act~，可是只剩下~#2-5~个钟头了。|村里的井干了，大家都为喝水的事发愁。|
 ~relative~要过生日，~p_name~想亲手做一件礼物。|~p_name~答应过要把~x=thing~还给~q_name~，可是桥被大水冲断了。|
 比赛就在明天，~p_name~却把最要紧的~x=thing~忘在了~place~。|一封没有署名的信放在门口，信上只写着五个字：请快来帮我。|
 ~p_name~第一次独自看家，偏偏碰上了停电。|~animal~受了伤，躺在~l~一动也不动。
zs_try: ~p_name~先去了~place~，又去了~place~，一连问了~#3-9~个人。|~p_name~~manner~打开~thing~，里面什么也没有。|
 他们找来绳子和木板，花了整整一个~daytime~。|~p_name~照着书上的办法试了~#2-6~遍，都没有成功。|
 ~q_name~~manner~爬上梯子，朝四周看了又看。|~p_name~在纸上画了一张图，标出每一个可能的地方。|
 两个人轮流~act~，累得满头大汗。|~p_name~把所有线索写下来，一条一条地核对。|他想起~relative~教过的~skill~，决定试一试。|
 ~p_name~沿着~t_river~往下游走，脚印在泥地里越来越深。|大家排成一队，把石头一块一块传过去。|
 ~p_name~点起油灯，从第一页重新读起。|~q_name~说得有道理，于是他们改走山路。
zs_turn: 谁知道~weather~，他们只好躲进~place~。|没想到门是锁着的，窗户也打不开。|忽然，~animal~叼着一样东西跑了过来。|
 正在为难的时候，~p_name~看见墙上有一行小字。|这时~q_name~说出了实情，原来东西是他借走的。|
 结果越着急越出错，~thing~也摔碎了。|过了一会儿，水位开始上涨，回去的路被淹没了。|他们这才明白，地图从一开始就拿反了。|
 打开一看，里面装的不是钱，而是一叠旧照片。|奇怪的是，声音每次都在~daytime~出现。|
 风把帽子吹到了河里，~p_name~想也没想就跳了下去。|走到半路，~p_name~发现有人一直跟在后面。
zs_help: 幸好~relative~路过，~manner~帮他们解了围。|~q_name~拿出自己的~thing~，正好派上用场。|~p_name~用~skill~的本领救了急。|
 一位卖~food~的老人告诉他们，要往~t_direction~走。|住在附近的人听说以后，都带着工具赶来了。|
 ~p_name~想出一个主意：先~act~，再~act~。|~q_name~把外套撕成布条，接成一根长绳。|
 最后还是~animal~带路，他们才走出了树林。|大家你一言我一语，终于找到了原因。|~p_name~沉住气，按顺序把零件装了回去。
zs_talk: ~p_name~说：“别担心，~lesson~。”|“你怎么知道的？”~q_name~问。~p_name~回答：“因为我看见了脚印。”|
 ~relative~常说：“~lesson~。”~p_name~现在才懂得这句话的意思。|“要是没有你，我真不知道怎么办。”~q_name~~manner~说。|
 “我们还剩多少时间？”“大约~#2-9~十分钟。”两个人都不再说话了。|~q_name~摇摇头：“这样不行，我们得换个办法。”|
 “~t_festival~快开始了，”~p_name~说，“先把这里收拾好吧。”|~p_name~~manner~说：“对不起，是我弄错了。”~q_name~笑了笑，并没有怪他。|
 “这东西是哪儿来的？”“是我在~place~捡到的，”~p_name~老老实实地回答。
zs_end: 第二天，~p_name~把~good~~thing~送给了~q_name~，两个人成了最要好的朋友。|就这样，~t_town~又恢复了往日的平静。|
 ~p_name~回到家里，喝了一碗热乎乎的~food~，很快就睡着了。|后来，这件事被写进了~t_town~的故事集里。|
 从那以后，~p_name~每年~season~都会回到~l~看一看。|天亮的时候，所有的人都平安地回来了。|
 ~p_name~终于学会了~skill~，心里比得了奖还要~feeling~。|~q_name~把那张旧照片挂在墙上，逢人就讲起那个夜晚。|
 大家围坐在一起吃~food~，一直聊到月亮升起来。|~p_name~数了数，一样东西也没有少，这才松了一口气。
zs_after: 几年以后，~p_name~成了有名的~p_job~，可是他从来没有忘记那一天。|如今的~l~盖起了新房子，只有那棵~tree~还在老地方。|
 ~q_name~搬到了~u_town~，每个月都给~p_name~写一封信。|孩子们喜欢听这个故事，每一次都要问后来怎么样了。|
 ~p_name~把经过记在日记本里，一共写了~#5-30~页。
zs_moral: 这件事让~p_name~明白，~lesson~。|难怪~relative~总是提醒他，~lesson~。|~p_name~常常对别人说起，~lesson~，这话一点也不假。|
 想起这一天，~p_name~就会记起一个道理：~lesson~。|故事虽然很短，道理却很清楚：~lesson~。

# Facts about towns and people.
zh_town: ~*zt_open~~*zt_fact~~*zt_fact~\n\n~*zt_fact~~*zt_fact~~*zt_fact~\n\n~*zt_fact~~*zt_visit~~*zt_fact~~*zt_close~|
 ~*zt_open~~*zt_fact~~*zt_visit~\n\n~*zt_fact~~*zt_fact~~*zt_visit~~*zt_fact~~*zt_close~|
 ~zt_question~\n\n~*zt_open~~*zt_fact~~*zt_fact~~*zt_visit~\n\n~*zt_fact~~*zt_fact~~*zt_fact~~*zt_close~
zt_question: 问：到~t_town~旅行应该了解些什么？答：下面是一份简单的介绍。|~t_town~在哪里，又有什么特产？读完这一段就清楚了。|
 学生们常常把~t_town~和~u_town~弄混，其实两个地方很不一样。|这篇短文介绍~t_town~的位置、历史和风俗。
zt_open: ~t_town~位于~t_province~的~t_direction~部，人口约~t_people~千人。|在~t_province~，许多人都知道~t_town~。|
 ~t_town~是~t_province~的一座小镇，建于~t_founded~年。|提起~t_province~，人们往往先想到~t_town~。|
 从~t_neighbour~出发，走~t_distance~公里就到了~t_town~。|~t_town~不大，却有一千个值得停下来看一看的理由。
zt_fact: 镇子建于~t_founded~年，至今保留着~t_landmark~。|流经这里的河叫~t_river~，两岸种满了~tree~。|
 ~t_town~最有名的特产是~t_product~，每年~season~销往各地。|镇外有一座山，名叫~t_mountain~，晴天时站在街上就能望见。|
 当地人最爱吃的菜是~t_dish~，外地客人尝过以后都赞不绝口。|一年中最热闹的日子是~t_festival~，家家户户都要参加。|
 现任镇长是~t_mayor~，办公室就在~t_landmark~旁边。|这里住着大约~t_people~千人，多数人以出产~t_product~为生。|
 离~t_town~最近的镇子是~t_neighbour~，两地相距~t_distance~公里。|它属于~t_province~，位置在全省的~t_direction~部。|
 ~t_landmark~是~t_town~的标志，明信片上印的就是它。|登上~t_mountain~，整个~t_town~和~t_river~都在眼前。|
 据县志记载，~t_founded~年第一批居民沿着~t_river~来到此地。|孩子们在学校里学唱的第一首歌，唱的就是~t_river~。|
 每逢~t_festival~，饭馆里的~t_dish~总是最先卖完。|老人们说，~t_product~的手艺已经传了~#4-12~代。
zt_visit: 游客多半在~season~来，因为那时~weather~。|如果只有一天时间，不妨先看~t_landmark~，再去~place~走走。|
 从车站到镇中心步行要~#10-40~分钟，路上会经过~place~。|旅店不多，最好提前~#2-9~天预订。|
 在~place~可以买到新做的~t_product~，价钱也公道。|~daytime~的~place~最安静，适合散步和写生。|
 本地人待客热情，常常请人喝茶，还要讲讲~t_mountain~的传说。
zt_close: 这就是~t_town~，一个平凡而又特别的地方。|去过的人都说，离开以后最想念的是那里的~t_dish~。|
 要了解~t_province~，从~t_town~开始是个好主意。|有人只住一晚，有人一住就是几十年。|
 记住三个词就够了：~t_river~、~t_product~、~t_festival~。|下一次路过~t_province~，别忘了在这里停一停。
zh_person: ~*zp_open~~*zp_fact~~*zp_fact~\n\n~*zp_fact~~*zp_scene~~*zp_fact~\n\n~*zp_fact~~*zp_close~|
 ~*zp_open~~*zp_scene~~*zp_fact~~*zp_fact~\n\n~*zp_fact~~*zp_scene~~*zp_fact~~*zp_close~|
 ~*zp_open~~*zp_fact~\n\n~*zp_scene~~*zp_fact~~*zp_fact~\n\n~*zp_scene~~*zp_fact~~*zp_fact~~*zp_close~
zp_open: ~p_name~，~p_born~年出生在~p_home~，职业是~p_job~。|~p_home~出过一位有名的~p_job~，他就是~p_name~。|
 说到~p_name~，熟悉的人会想起三件事：~p_job~、~p_instrument~和~p_pet~。|~p_name~是我们这里的~p_job~，大家都喜欢和他聊天。|
 在~p_home~打听~p_name~，几乎没有人不知道。|很少有人像~p_name~那样热爱自己的工作。
zp_fact: ~p_name~生于~p_born~年，是土生土长的~p_home~人。|他的职业是~p_job~，一干就是~#8-40~年。|
 空闲的时候，~p_name~喜欢~p_hobby~。|他会演奏~p_instrument~，每个~weekday~晚上都要练习一个钟头。|
 ~p_name~家里养着~p_pet~，走到哪里都惦记着。|朋友们最佩服他的~p_trait~。|~p_name~最喜欢的颜色是~p_colour~，连门也漆成了~p_colour~。|
 他最要好的朋友叫~p_friend~，两个人从小一起长大。|因为~p_hobby~，~p_name~认识了~p_friend~。|
 在~p_name~看来，做~p_job~最要紧的是~p_trait~。|~p_home~的人请他演奏~p_instrument~，他从来不推辞。|
 他把~p_pet~画进了自己的每一张贺年卡。
zp_scene: 有一年~season~，~weather~，他仍然坚持~act~。|每天~daytime~，总能看见他在~place~~act~。|
 有人问他累不累，他~manner~说：“~lesson~。”|他的书桌上放着~thing~、~thing~和一杯茶。|
 ~relative~教会了他~skill~，这门手艺后来帮了大忙。|去年他在~place~开了一间小小的工作室，教孩子们~skill~。|
 他常给客人做~food~，味道并不比饭馆里的差。|年轻时他到过~u_town~，在那里住了~#2-9~个月。|
 他写信从来不用电脑，总是用一支旧毛笔。
zp_close: 直到今天，~p_name~还在做他喜欢的事。|认识他的人都说，~lesson~，这话用在他身上最合适。|
 如果你到~p_home~去，也许会在~place~遇见他。|他的故事还很长，以后再慢慢讲。|
 ~p_friend~曾经写道：能和他做朋友，是一件幸运的事。|他说自己没有什么本事，只是比别人多了一点~p_trait~。

# Dialogues.
zh_dialogue: ~zd_scene~\n\n~p_name~：“~*zd_ask~”\n~q_name~：“~*zd_answer~”\n~p_name~：“~*zd_more~”\n~q_name~：“~*zd_answer~”\n~p_name~：“~*zd_ask~”\n~q_name~：“~*zd_advice~”\n~p_name~：“~*zd_thanks~”\n~q_name~：“~*zd_bye~”|
 ~zd_scene~\n\n~p_name~：“~*zd_ask~”\n~q_name~：“~*zd_advice~”\n~p_name~：“~*zd_more~”\n~q_name~：“~*zd_answer~~*zd_advice~”\n~p_name~：“~*zd_doubt~”\n~q_name~：“~*zd_answer~”\n~p_name~：“~*zd_thanks~”
zd_scene: ~season~的~daytime~，~p_name~在~place~遇见了~q_name~。|~weekday~~daytime~，~p_name~给~q_name~打电话。|
 火车上，~p_name~和~q_name~面对面坐着，窗外~weather~。|~p_name~到~t_town~拜访~q_name~，两个人一边吃~food~一边聊天。|
 课间休息的时候，~p_name~拿着~thing~来找~q_name~。|雨停了，~p_name~和~q_name~在~place~等车。
zd_ask: 好久不见，你最近在忙什么？|你知道从这里到~t_town~有多远吗？|我想学~skill~，应该从哪里开始？|
 ~t_town~有什么特产可以带回去送人？|我的~thing~坏了，你会修吗？|周末打算去~place~，你觉得怎么样？|
 听说你去过~t_town~，那里好玩吗？|为什么你每天都要~act~呢？|明天的~subject~考试你准备好了吗？|你见过~t_mountain~上的日出吗？|
 你家里还养着~q_pet~吗？|你觉得做~q_job~最难的是什么？
zd_answer: 我正在~act~，一直要忙到~month~。|从~t_neighbour~过去是~t_distance~公里，坐车最方便。|那里最有名的是~t_product~，还有~t_dish~也值得一尝。|
 去年~season~去过一次，~weather~，我在~place~坐了一整天。|因为~relative~告诉我，~lesson~。|还没有，我打算今晚先复习~subject~，再睡觉。|
 见过，要在~daytime~以前爬上去，山顶上很冷。|当然，它现在比以前更淘气了，昨天还把~thing~打翻了。|最难的是坚持，其次是~p_trait~。|
 我也不太清楚，不过~q_friend~一定知道。|那条河叫~t_river~，夏天可以划船。|听说今年的~t_festival~会比去年更热闹。
zd_more: 那大概需要多长时间？|是吗？我还是第一次听说。能不能说得详细一点？|原来如此，难怪大家都喜欢去那里。|如果遇到下雨怎么办？|
 除了这个，还有别的办法吗？|我以前试过一次，可是没有成功。|要带些什么东西呢？|听起来不难，可是我怕自己做不好。
zd_doubt: 可是我听说那样做会更费时间。|要是~thing~也找不到呢？|我担心~relative~不同意。|万一错过了最后一班车怎么办？|这么简单？我不太相信。
zd_advice: 先不要着急，把要做的事写在纸上，一件一件地完成。|最好提前~#2-9~天准备，因为~season~人很多。|你可以先借一本书看看，再找人当面请教。|
 每天练习~#10-50~分钟，一个月以后就能看到进步。|带上~thing~和雨伞，别的东西到了再买。|我建议你先问问~relative~，他们有经验。|
 不懂的地方记下来，见到~q_friend~的时候再问。|第一次少做一点，熟练以后再慢慢增加。|记住一句话：~lesson~。
zd_thanks: 谢谢你，听你这么一说，我心里~feeling~多了。|太好了，我这就回去准备。|多亏遇见你，不然我又要走弯路了。|好的，我一定照你说的去做。|
 明白了，下次请你吃~food~。
zd_bye: 不客气，有问题随时来找我。|那就说定了，~weekday~~daytime~见。|路上小心，代我向~p_friend~问好。|好，等你的好消息。|别忘了给我带一点~t_product~。

# How to do things.
zh_howto: ~zh_h_title~\n\n~zh_h_intro~\n\n第一步，~*zh_h_step~\n第二步，~*zh_h_step~\n第三步，~*zh_h_step~\n第四步，~*zh_h_step~\n\n~*zh_h_note~~*zh_h_note~|
 ~zh_h_title~\n\n~zh_h_intro~首先，~*zh_h_step~然后，~*zh_h_step~接着，~*zh_h_step~最后，~*zh_h_step~\n\n~*zh_h_note~\n\n~*zh_h_note~~*zh_h_end~
zh_h_title: 怎样学会~k=skill~。|~k=skill~入门：给初学者的建议。|在家练习~k=skill~的方法。|关于~k=skill~，最常见的几个问题。|~p_name~谈~k=skill~。
zh_h_intro: 很多人以为~k~很难，其实只要方法对头，~#2-8~个星期就能入门。|~k~并不需要昂贵的工具，家里的~thing~和~thing~就够用了。|
 ~p_name~做了多年的~p_job~，下面是他总结的经验。|学习~k~最怕三天打鱼两天晒网，所以要先安排好时间。|在~t_town~，几乎人人都懂一点~k~，办法也很简单。
zh_h_step: 准备好~thing~和干净的布，把桌面收拾整齐。|看一看别人怎么做，记住手的位置和先后顺序。|从最简单的动作开始，每次只练~#5-20~分钟。|
 把做好的部分和图样比一比，找出不一样的地方。|休息~#5-15~分钟，让材料晾干，也让眼睛放松一下。|请~relative~在旁边看着，有错误马上改正。|
 量一量长度和宽度，误差不要超过~#1-5~毫米。|把温度保持在~#15-28~度左右，太冷或太热都会影响效果。|检查每一个接头，确认没有松动。|
 用水清洗~#2-4~遍，再放到通风的地方。|写下今天的结果，注明日期和天气。|加快一点速度，同时保持动作平稳。|把多余的部分剪掉，留下大约~#2-9~厘米。|
 先用便宜的材料试做一次，成功以后再正式动手。
zh_h_note: 注意，不要在~daytime~练习，光线不好容易出错。|如果失败了，不要灰心，因为~lesson~。|小孩子使用~thing~时，一定要有大人陪同。|
 用过的工具要擦干净，放回原来的地方。|春天空气潮湿，材料要多晾一天。|每个人的情况不同，速度慢一点没有关系。|
 遇到不懂的地方，可以到~place~向~p_job~请教。|练习满~#10-30~次以后，再学习下一个动作。
zh_h_end: 只要坚持下去，你也能像~p_name~一样熟练。|做好以后，不妨送一件给~relative~。|祝你成功。|剩下的就交给时间和耐心吧。

# Poems: two half lines to a line.
zh_poem: 《~zv_title~》\n~p_name~\n\n~*zv_line~\n~*zv_line~\n~*zv_line~\n~*zv_line~\n\n~*zv_line~\n~*zv_line~\n~*zv_line~\n~*zv_line~\n\n~zv_note~~zv_note2~
zv_title: ~t_town~的~season~|~flower~开了|写给~q_name~|~t_river~边|~daytime~的~place~|~tree~下的歌|望~t_mountain~
zv_line: ~daytime~的风吹过~place~，~flower~轻轻摇晃。|我把~thing~放在窗台，等一只~animal~来拜访。|~t_river~的水流向远方，带走了昨天的忧伤。|
 山那边的灯一盏一盏亮起，像有人在低声歌唱。|~tree~的影子落在墙上，写满了~season~的信。|孩子们的笑声飞过屋顶，惊动了檐下的麻雀。|
 母亲煮好一锅~food~，香气飘满了整条小巷。|如果你也走在这条路上，请替我问候那轮月亮。|雨落在~t_town~的石板上，每一滴都有回响。|
 远行的人啊不要回头，前面就是~t_mountain~的方向。|我们曾经种下的~tree~，如今比房子还要高。|时间像一条安静的河，载着我们慢慢变老。|
 旧信里夹着一片叶子，颜色还像当年一样。|谁在~place~吹起~q_instrument~，让夜色变得柔软。|雪落下来的时候，世界忽然变得很轻。|
 等到~flower~再开的那一天，我们就坐下来喝茶。|船从~t_neighbour~来，装着新米和旧时光。|清晨的钟声敲了七下，露水在草尖上发亮。
zv_note: 这首诗写于~#1950-2020~年~month~，当时~p_name~住在~t_town~。|~p_name~把这首诗抄在明信片上，寄给了~q_name~。|诗里提到的河就是~t_river~，至今还有人在河边朗读它。
zv_note2: 老师让大家背诵前四行，并且说说自己的感受。|后来有人为它谱了曲，用~q_instrument~伴奏。|读诗的时候要慢一点，让每个画面都有时间出现。|诗的题目改过~#2-5~次，最后才定下来。

# Letters, with dates.
zh_letter: 亲爱的~q_name~：\n\n~*zl_open~~*zl_news~~*zl_news~\n\n~*zl_news~~*zl_ask~~*zl_news~\n\n~*zl_close~\n\n~p_name~\n~#1985-2024~年~#1-12~月~#1-28~日于~t_town~。|
 ~q_name~你好：\n\n~*zl_open~~*zl_ask~~*zl_news~\n\n~*zl_news~~*zl_news~~*zl_ask~\n\n~*zl_close~\n\n你的朋友~p_name~，~#1985-2024~年~month~~#1-28~日。
zl_open: 你的来信我在~weekday~收到了，读了~#2-4~遍。|转眼又到了~season~，这里~weather~。|很久没有给你写信，请不要生气。|昨天路过~place~，忽然想起了你。|
 我已经平安到达~t_town~，路上走了~#3-20~个小时。
zl_news: ~relative~的身体好多了，每天还能到~place~散步。|我开始跟着一位~p_job~学~skill~，手上磨出了好几个泡。|院子里的~flower~开了，~animal~也常常来做客。|
 上个月我们参加了~t_festival~，人多得连路都走不动。|我把你送的~thing~放在书桌上，每天都看得见。|这里的~t_dish~很好吃，等你来了我请你尝一尝。|
 ~p_pet~已经习惯了新家，只是晚上还会叫几声。|学校里新开了~subject~课，孩子们都很~feeling~。|我正在读一本讲~t_province~历史的书，已经读到第~#20-90~页。|
 昨天停了一夜的电，我们点着油灯聊天，反而觉得~feeling~。|~relative~说，~lesson~，我觉得很有道理。|河水涨了，去~t_neighbour~的渡船停了三天。
zl_ask: 你那边的天气怎么样？|你还在练~q_instrument~吗？|~q_pet~最近好不好？|你的新工作顺利吗？做~q_job~一定很忙吧。|什么时候能到~t_town~来住几天？|
 上次你说要学~skill~，现在学得怎么样了？
zl_close: 天晚了，就写到这里，盼望你的回信。|请代我问候~q_friend~，祝你们一切都好。|等~season~到了，我们一起去看~t_mountain~。|保重身体，不要太累。|
 随信寄去一包~t_product~，希望你喜欢。

# Why things happen.
zh_cause: ~*zc_one~~*zc_one~\n\n~*zc_one~~*zc_one~~*zc_link~\n\n~*zc_one~~*zc_one~~*zc_link~|
 ~zc_title~\n\n~*zc_one~~*zc_link~~*zc_one~~*zc_one~\n\n~*zc_link~~*zc_one~~*zc_one~~*zc_one~
zc_title: 生活里的许多现象都有原因，只要留心就能发现。|~p_name~喜欢问为什么，下面是他记在本子上的几条。|自然课上，老师讲了几个有趣的道理。|孩子们问了~#5-20~个问题，这里只回答其中几个。
zc_one: 因为水在零度以下会结冰，所以~t_river~的河面在寒冬可以走人。|铁器放在潮湿的地方容易生锈，因此工具用完要擦干。|
 植物的叶子需要阳光，如果把~flower~放在暗处，它就会慢慢变黄。|声音在空气里传得比光慢，所以先看见闪电，后听见雷声。|
 山上的空气比较稀薄，气温也低，因此~t_mountain~顶上的雪化得晚。|月亮本身不发光，我们看到的是它反射的太阳光。|
 猫的脚底有厚厚的肉垫，所以走路几乎没有声音。|面团里加了酵母会产生气体，因此蒸出来的馒头又松又软。|
 木头的密度比水小，所以能浮在水面上；石头的密度大，就会沉下去。|热空气比冷空气轻，会往上升，孔明灯就是这样飞起来的。|
 盐水比淡水难结冰，所以人们在雪天往路上撒盐。|蜜蜂采蜜时身上沾满花粉，于是帮助~fruit~树结出了果实。|
 深色的衣服吸收的热量多，因此~season~穿~p_colour~还是白色，感觉会不一样。|秋天白天变短，树木得到的阳光减少，叶子就会变色落下。|
 河流带来的泥沙在平坦的地方沉积下来，日积月累便形成了肥沃的土地。|镜子能够反射光线，所以我们可以从里面看见自己。|
 油比水轻，又不溶于水，因此总是浮在汤的上面。|人运动的时候需要更多氧气，所以心跳和呼吸都会加快。|
 冬天窗户上出现水珠，是因为屋里的水汽遇到了冷玻璃。|磁针总是指向南北，古人因此能在大海上辨认方向。|
 ~t_town~靠近~t_river~，水路方便，所以~t_product~很早就能卖到外地。|连续多日没有下雨，土地变得干硬，~p_name~只好从井里挑水浇菜。
zc_link: 明白了原因，就知道应该怎么做。|这并不是巧合，而是有规律的。|同样的道理，也可以解释别的现象。|不信的话，可以自己动手试一试。|
 ~p_name~把这些写在本子上，还画了图。|反过来想一想，结果会怎样呢？|老师补充说，观察要反复进行，不能只看一次。|古人虽然不懂得其中的道理，却早就会利用它了。

# News.
zh_news: ~*zn_lead~~*zn_detail~\n\n~*zn_detail~~*zn_quote~~*zn_detail~\n\n~*zn_quote~~*zn_detail~~*zn_end~|
 ~*zn_lead~~*zn_quote~~*zn_detail~\n\n~*zn_detail~~*zn_detail~\n\n~*zn_quote~~*zn_end~~*zn_detail~
zn_lead: 本报讯，~t_town~的~t_festival~于~#1-12~月~#1-28~日开幕，吸引了~#2-9~千多名客人。|~#2001-2024~年~month~，~t_province~宣布在~t_town~修建一座新桥，横跨~t_river~。|
 ~t_town~图书馆昨天迎来了今年的第~#2-9~千位读者。|记者从~t_town~了解到，今年~t_product~的产量比去年增加了百分之~#5-35~。|~weekday~~daytime~，一列开往~u_town~的火车因为大雪晚点~#20-90~分钟。|
 ~t_town~中心小学举行了~subject~比赛，共有~#40-260~名学生参加。
zn_detail: 当天~weather~，许多人一早就来到~place~排队。|据介绍，工程预计需要~#6-30~个月，花费~#20-90~万元。|活动现场还展出了~thing~、~thing~等老物件。|
 参加者中年纪最大的~#78-96~岁，最小的只有~#3-6~岁。|主办方准备了~t_dish~，不到一个小时就被抢光了。|~t_landmark~附近的道路暂时不能通车，行人可以从~place~绕行。|
 从~t_neighbour~来的客人说，路上只用了~#30-90~分钟。|去年同一时间，参加的人数还不到现在的一半。|为了安全，工作人员在河边加装了护栏和路灯。|得奖的作品将在~place~展出~#5-30~天。
zn_quote: 镇长~t_mayor~说：“我们希望更多的人了解~t_town~。”|~p_job~~p_name~告诉记者：“~lesson~，这是我们成功的原因。”|一位卖~food~的摊主笑着说，这一天的生意比平时好~#2-5~倍。|
 “我从~u_town~赶来，就是为了看一眼~t_mountain~。”游客~q_name~说。|~q_name~认为，保护~t_river~比修路更加重要。
zn_end: 活动将持续到~month~底。|记者将继续关注事情的进展。|有意参加的居民可以到~place~登记。|天气部门提醒，未来~#2-5~天气温下降，请大家注意保暖。|详细的安排已经张贴在~t_landmark~前面。
)g";

const std::string_view kChineseMath = R"g(
# Arithmetic with worked answers. a, b, c ... are drawn once per problem: each problem has names of its own.
zh_math: ~zm_head~\n\n题目一：~*zm_a~\n\n题目二：~*zm_b~\n\n题目三：~*zm_c~\n\n~zm_tail~|~zm_head~\n\n题目一：~*zm_c~\n\n题目二：~*zm_a~\n\n题目三：~*zm_d~\n\n~zm_tail~|
 ~zm_head~\n\n题目一：~*zm_b~\n\n题目二：~*zm_d~\n\n题目三：~*zm_c~\n\n题目四：~*zm_a~\n\n~zm_tail~
zm_head: 下面是~p_name~在数学作业本上做的应用题，每一题都写出了计算过程。|~t_town~小学的练习题，附有答案和说明。|~q_name~老师出了几道题，~p_name~一步一步地解答。|读题的时候要先找出已知的数，再想应该用什么方法计算。
zm_tail: 做完以后，~p_name~又从头检查了一遍，确认没有算错。|老师说，写清楚每一步比只写答案更重要。|如果答案和你的不一样，请回头看看是哪一步出了问题。|这几道题的关键都是先弄清数量之间的关系。
zm_a: ~p_name~有~a1=#12-89~个~fa=fruit~，~q_name~又送给他~a2=#5-60~个，他现在一共有多少个~fa~？解：用加法计算，~a1~+~a2~=~=a1+a2~。答：他现在一共有~=a1+a2~个~fa~。|
 书架上原来有~a1=#60-150~本书，被同学借走了~a2=#11-55~本，还剩下多少本？解：借走就是减少，用减法计算，~a1~-~a2~=~=a1-a2~。答：还剩下~=a1-a2~本书。|
 一列火车上有~a1=#90-300~名乘客，到站后下去~a2=#10-80~人，又上来~a3=#10-90~人，现在车上有多少人？解：先减去下车的人，~a1~-~a2~=~=a1-a2~；再加上上车的人，~=a1-a2~+~a3~=~=a1-a2+a3~。答：现在车上有~=a1-a2+a3~人。|
 水桶里有~a1=#40-95~升水，浇花用掉~a2=#5-18~升，洗车用掉~a3=#6-20~升，水桶里还有多少升水？解：一共用掉~a2~+~a3~=~=a2+a3~升，还剩~a1~-~=a2+a3~=~=a1-a2-a3~升。答：水桶里还有~=a1-a2-a3~升水。
zm_b: 每盒装~b1=#4-12~支铅笔，买了~b2=#3-15~盒，一共有多少支铅笔？解：每盒的支数乘以盒数，~b1~×~b2~=~=b1*b2~。答：一共有~=b1*b2~支铅笔。|
 果园里有~b1=#6-20~行~tree~，每行~b2=#7-25~棵，这个果园一共种了多少棵树？解：求几个相同的数的和用乘法，~b1~×~b2~=~=b1*b2~。答：一共种了~=b1*b2~棵。|
 ~p_name~每天读~b1=#8-30~页书，连续读了~b2=#4-14~天，他一共读了多少页？解：每天的页数乘以天数，~b1~×~b2~=~=b1*b2~。答：他一共读了~=b1*b2~页。|
 一块长方形的菜地，长~b1=#8-40~米，宽~b2=#3-20~米，它的面积是多少平方米？解：长方形的面积等于长乘以宽，~b1~×~b2~=~=b1*b2~。答：面积是~=b1*b2~平方米。
zm_c: 一件衣服~c1=#30-95~元，一顶帽子~c2=#8-28~元，~q_name~买了~c3=#2-6~件衣服和一顶帽子，应付多少元？解：衣服一共~c1~×~c3~=~=c1*c3~元，再加上帽子，~=c1*c3~+~c2~=~=c1*c3+c2~元。答：应付~=c1*c3+c2~元。|
 从~t_town~到~u_town~，汽车每小时行~c1=#40-90~千米，行了~c2=#2-7~小时以后还剩~c3=#10-60~千米，两地相距多少千米？解：已经行了~c1~×~c2~=~=c1*c2~千米，加上剩下的路程，~=c1*c2~+~c3~=~=c1*c2+c3~千米。答：两地相距~=c1*c2+c3~千米。|
 工人要加工一批零件，每天做~c1=#20-80~个，做了~c2=#3-9~天，还差~c3=#10-70~个，这批零件有多少个？解：已经做了~c1~×~c2~=~=c1*c2~个，还差~c3~个，总数是~=c1*c2~+~c3~=~=c1*c2+c3~个。答：这批零件有~=c1*c2+c3~个。|
 ~p_name~存了~c1=#100-400~元，买书用去~c2=#3-6~本的钱，每本~c3=#12-29~元，还剩多少元？解：买书用去~c2~×~c3~=~=c2*c3~元，还剩~c1~-~=c2*c3~=~=c1-c2*c3~元。答：还剩~=c1-c2*c3~元。
zm_d: 如果~d1=#3-9~个朋友平均分一些糖，每人得到~d2=#4-16~块，正好分完，这些糖原来有多少块？解：人数乘以每人的块数，~d1~×~d2~=~=d1*d2~。反过来检验，~=d1*d2~÷~d1~=~d2~。答：原来有~=d1*d2~块糖。|
 三个数分别是~d1=#10-50~、~d2=#10-50~和~d3=#10-50~，它们的和是多少？解：先算~d1~+~d2~=~=d1+d2~，再算~=d1+d2~+~d3~=~=d1+d2+d3~。答：它们的和是~=d1+d2+d3~。|
 今年~p_name~~d1=#8-14~岁，~relative~的年龄是他的~d2=#3-6~倍，两个人相差多少岁？解：~relative~今年~d1~×~d2~=~=d1*d2~岁，相差~=d1*d2~-~d1~=~=d1*d2-d1~岁。答：两个人相差~=d1*d2-d1~岁。
)g";

}  // namespace athanor::synth
