#include "data/synth/grammars.h"

namespace athanor::synth {

const std::string_view kEnglishTexts = R"g(
en_story: ~!l=e_place~~!x=e_thing~~es_body~
es_body: ~*es_open~ ~*es_scene~\n\n~*es_need~ ~*es_try~ ~*es_turn~\n\n~*es_help~ ~*es_talk~ ~*es_try~\n\n~*es_end~ ~*es_moral~|
 ~*es_open~ ~*es_need~\n\n~*es_scene~ ~*es_try~ ~*es_help~\n\n~*es_talk~ ~*es_turn~ ~*es_end~|
 ~*es_scene~ ~*es_open~ ~*es_need~ ~*es_turn~\n\n~*es_try~ ~*es_talk~ ~*es_help~ ~*es_end~ ~*es_moral~
es_open: One ~e_day~ in ~e_season~, ~p_name~ walked to ~l=e_place~ with a ~x=e_thing~ under one arm.|Many years ago a ~p_job~ named ~p_name~ lived in ~t_town~.|
 Everybody in ~t_town~ knew that ~p_name~, the ~p_job~, was fond of ~p_hobby~.|~^e_time~, ~p_name~ was busy ~e_doing~ near ~l=e_place~.|
 In the ~e_count~ years since coming to ~t_town~, ~p_name~ had never seen anything so strange.|~p_name~ left the house ~e_time~, followed by ~p_pet~.|
 ~p_name~ and ~q_name~ had agreed to meet at ~l=e_place~.|Every year in ~e_season~, ~p_name~ spent a few days near ~l=e_place~.|
 A knock at the door woke ~p_name~ ~e_time~.|~t_town~ was getting ready for ~t_festival~, and ~p_name~ was in charge of ~e_doing~.
es_scene: That day ~e_weather~, and ~l~ looked empty.|Outside, ~e_weather~, and only a few people were on the road.|A row of ~e_tree~ trees grew beside the path, and a ~e_animal~ slept under one of them.|
 Everything in the room was in its place, and there was still some ~e_food~ on the table.|From there one could see ~t_mountain~ and the long line of ~t_river~.|
 In the corner stood a ~e_bad~ ~e_thing~ that nobody had touched for years.|Some people were ~e_doing~, while others were ~e_doing~.|
 A ~e_animal~ jumped out of the grass and startled everyone.|The ~e_flower~ was in bloom, and children ran about with a ~e_thing~ in every hand.
es_need: But the ~x=e_thing~ was gone, and ~p_name~ felt ~e_feeling~.|~p_name~ soon saw that only ~q_name~ could repair the ~e_bad~ ~x=e_thing~.|
 It turned out that ~q_name~ was ill, and nobody else knew anything about ~e_doing~.|Just then a cry for help came from ~e_place~.|There were only ~e_count~ hours left before dark, and the work was far from done.|
 The well in the village had run dry, and people began to worry.|~p_name~ wanted to make a present for the birthday of a ~e_relative~.|
 The bridge had been carried away by the flood, so there was no way to return the ~x=e_thing~.|The race was tomorrow, and the most important ~x=e_thing~ had been left at ~e_place~.|
 A letter without a name lay at the door, and it said only: please come and help me.|It was the first time that ~p_name~ had to look after the house alone.
es_try: First ~p_name~ went to ~e_place~, then to ~e_place~, and asked ~e_count~ people on the way.|~p_name~ opened the ~e_thing~ ~e_manner~, but there was nothing inside.|
 They found some rope and a few boards, and the work took them the whole afternoon.|~p_name~ tried the method from the book ~e_count~ times without success.|~q_name~ climbed the ladder and looked in every direction.|
 On a sheet of paper ~p_name~ drew a plan and marked every possible spot.|The two of them took turns at ~e_doing~ until their arms hurt.|~p_name~ wrote down every clue and checked the list line by line.|
 Remembering what a ~e_relative~ had taught about ~e_skill~, ~p_name~ decided to try again.|They followed ~t_river~ downstream, where the footprints in the mud grew deeper.|
 Everyone stood in a line and passed the stones from hand to hand.|~p_name~ lit the lamp and started reading from the first page.
es_turn: Then the weather changed, and they had to take shelter in ~e_place~.|To their surprise the door was locked and the windows would not open.|Suddenly a ~e_animal~ came running with something in its mouth.|
 While they were still wondering, ~p_name~ noticed a line of small letters on the wall.|At last ~q_name~ told the truth and admitted having borrowed it.|
 The more they hurried, the more mistakes they made, and in the end the ~e_thing~ broke.|After a while the water began to rise, and the way back was cut off.|
 Only then did they understand that the map had been upside down from the start.|There was no money inside, only a bundle of old photographs.|Strangely enough, the noise always came ~e_time~.|
 The wind blew the hat into the river, and ~p_name~ jumped in without thinking.
es_help: Luckily a ~e_relative~ passed by and helped them ~e_manner~.|~q_name~ brought out a ~e_thing~, which was exactly what they needed.|What ~p_name~ knew about ~e_skill~ saved the day.|
 An old woman who sold ~e_food~ told them to go ~t_direction~.|When the people nearby heard about it, they all came with their tools.|~p_name~ had an idea: they would begin with ~e_doing~ and end with ~e_doing~.|
 ~q_name~ tore a coat into strips and tied them into a long rope.|In the end it was the ~e_animal~ that led them out of the forest.|~p_name~ stayed calm and put the parts back in the right order.
es_talk: "Do not worry," said ~p_name~, "~e_lesson~."|"How do you know?" asked ~q_name~. "Because I saw the footprints," answered ~p_name~.|A ~e_relative~ used to say that ~e_lesson~, and now ~p_name~ understood why.|
 "Without you I would not know what to do," said ~q_name~ ~e_manner~.|"How much time is left?" "About ~#2-5~0 minutes." After that nobody spoke.|~q_name~ shook the head and said, "This will not work; we need another way."|
 "~t_festival~ is about to begin," said ~p_name~, "so let us tidy up first."|"I am sorry, it was my fault," said ~p_name~, but ~q_name~ only laughed.|"Where did you get this?" "I found it near ~e_place~," said ~p_name~ honestly.
es_end: The next day ~p_name~ gave a ~e_good~ ~e_thing~ to ~q_name~, and the two became the best of friends.|And so ~t_town~ was peaceful again.|Back at home, ~p_name~ ate some warm ~e_food~ and fell asleep at once.|
 Later this story was written down in the book of ~t_town~.|From then on ~p_name~ came back every year in ~e_season~ to have a look.|When the day broke, everybody had returned safely.|
 ~p_name~ had finally learned ~e_skill~ and felt more ~e_feeling~ than any prize could make one.|~q_name~ hung the old photograph on the wall and told every guest about that night.|
 They all sat together, ate ~e_food~ and talked until the moon was high.|~p_name~ counted everything twice, found that nothing was missing, and breathed again.
es_moral: It taught ~p_name~ that ~e_lesson~.|No wonder people say that ~e_lesson~.|~p_name~ often told others that ~e_lesson~, and it is true.|Whoever remembers that day remembers one thing: ~e_lesson~.

en_town: ~*et_open~ ~*et_fact~ ~*et_fact~\n\n~*et_fact~ ~*et_visit~ ~*et_fact~\n\n~*et_fact~ ~*et_fact~ ~*et_close~|
 ~*et_open~ ~*et_visit~ ~*et_fact~\n\n~*et_fact~ ~*et_fact~ ~*et_fact~ ~*et_visit~ ~*et_close~|
 ~et_question~\n\n~*et_open~ ~*et_fact~ ~*et_fact~ ~*et_fact~\n\n~*et_visit~ ~*et_fact~ ~*et_fact~ ~*et_close~
et_question: What should a traveller know about ~t_town~? Here is a short answer.|Students often confuse ~t_town~ with ~u_town~, although the two are quite different.|This short text describes where ~t_town~ lies and what it is known for.
et_open: ~t_town~ lies in the ~t_direction~ of ~t_province~ and has about ~t_people~ thousand people.|Many people in ~t_province~ know the town of ~t_town~.|~t_town~ is a small town in ~t_province~ that was founded in ~t_founded~.|
 Whoever thinks of ~t_province~ thinks of ~t_town~ first.|It is ~t_distance~ kilometres from ~t_neighbour~ to ~t_town~.|~t_town~ is not large, but there are many reasons to stop there.
et_fact: The town was founded in ~t_founded~ and still has ~t_landmark~.|The water that flows through the town is called ~t_river~, and ~e_tree~ trees grow on both banks.|~t_town~ is best known for its ~t_product~, which are sold everywhere in ~e_season~.|
 Outside the town rises ~t_mountain~, which can be seen from the streets on a clear day.|The favourite food of the people here is ~t_dish~, and guests praise it too.|The liveliest time of the year is ~t_festival~, when every family takes part.|
 The mayor is called ~t_mayor~ and works next to ~t_landmark~.|About ~t_people~ thousand people live here, and most of them make a living from ~t_product~.|The nearest town is ~t_neighbour~, ~t_distance~ kilometres away.|
 The town belongs to ~t_province~ and lies in the ~t_direction~ of it.|The sign of ~t_town~ is ~t_landmark~, which is printed on every postcard.|From the top of ~t_mountain~ one sees all of ~t_town~ and also ~t_river~.|
 According to the old books, the first settlers came along ~t_river~ in ~t_founded~.|The first song that children learn at school is about ~t_river~.|During ~t_festival~, ~t_dish~ are always the first to be sold out.
et_visit: Most visitors come in ~e_season~, when the weather is at its best.|With only one day to spend, see ~t_landmark~ first and then walk to ~e_place~.|It takes ~#10-40~ minutes on foot from the station, past ~e_place~.|
 There are few hotels, so it is wise to book ~e_count~ days ahead.|Fresh ~t_product~ can be bought near ~e_place~ at a fair price.|~^e_place~ is most quiet ~e_time~ and good for a walk.|The people here like to offer tea and tell the legend of ~t_mountain~.
et_close: That is ~t_town~, an ordinary and yet a special place.|Those who have left say that they miss ~t_dish~ most of all.|To understand ~t_province~, one may well begin with ~t_town~.|Some stay for a night, and others stay for the rest of their lives.|
 Three names are enough to remember it: ~t_river~, ~t_mountain~ and ~t_festival~.
en_person: ~*ep_open~ ~*ep_fact~ ~*ep_fact~\n\n~*ep_fact~ ~*ep_scene~ ~*ep_fact~\n\n~*ep_fact~ ~*ep_scene~ ~*ep_close~|
 ~*ep_open~ ~*ep_scene~ ~*ep_fact~ ~*ep_fact~\n\n~*ep_fact~ ~*ep_scene~ ~*ep_fact~ ~*ep_fact~ ~*ep_close~
ep_open: ~p_name~ was born in ~p_home~ in ~p_born~ and works as a ~p_job~.|~p_home~ is the home of a well-known ~p_job~: ~p_name~.|Those who know ~p_name~ think of three things: being a ~p_job~, ~p_instrument~ and ~p_pet~.|
 ~p_name~ is our ~p_job~, and everyone likes to talk to such a person.|Ask anyone in ~p_home~ about ~p_name~ and they will know the name.
ep_fact: ~p_name~ was born in ~p_born~ and grew up in ~p_home~.|For ~#8-40~ years ~p_name~ has been a ~p_job~.|In the free hours ~p_name~ enjoys ~p_hobby~.|~p_name~ plays ~p_instrument~ and practises every ~e_day~ evening.|
 At home there is ~p_pet~, which ~p_name~ never forgets.|What friends admire most in ~p_name~ is ~p_trait~.|The favourite colour of ~p_name~ is ~p_colour~, and even the front door is ~p_colour~.|The best friend of ~p_name~ is ~p_friend~, and the two grew up together.|
 It was through ~p_hobby~ that ~p_name~ met ~p_friend~.|In the eyes of ~p_name~, a good ~p_job~ needs ~p_trait~ above all.|When people in ~p_home~ ask for music on ~p_instrument~, ~p_name~ never says no.
ep_scene: One year in ~e_season~, although ~e_weather~, ~p_name~ went on ~e_doing~.|~^e_time~ one can see ~p_name~ near ~e_place~, ~e_doing~.|Asked about being tired, ~p_name~ answered that ~e_lesson~.|On the desk there are a ~e_thing~, a ~e_thing~ and a cup of tea.|
 A ~e_relative~ taught ~p_name~ the art of ~e_skill~, which proved useful later.|Last year ~p_name~ opened a small workshop near ~e_place~ to teach children ~e_skill~.|Guests are often served ~e_food~, which is as good as in any restaurant.|As a young person ~p_name~ lived in ~u_town~ for ~e_count~ months.
ep_close: To this day ~p_name~ does what is dear to the heart.|As the saying goes, ~e_lesson~, and that fits ~p_name~ well.|Whoever visits ~p_home~ may meet ~p_name~ near ~e_place~.|~p_friend~ once wrote that such a friendship is a piece of luck.

en_dialogue: ~*ed_scene~\n\n~p_name~: "~*ed_ask~"\n~q_name~: "~*ed_answer~"\n~p_name~: "~*ed_more~"\n~q_name~: "~*ed_answer~"\n~p_name~: "~*ed_ask~"\n~q_name~: "~*ed_advice~"\n~p_name~: "~*ed_thanks~"\n~q_name~: "~*ed_bye~"|
 ~*ed_scene~\n\n~p_name~: "~*ed_ask~"\n~q_name~: "~*ed_advice~"\n~p_name~: "~*ed_more~"\n~q_name~: "~*ed_answer~ ~*ed_advice~"\n~p_name~: "~*ed_ask~"\n~q_name~: "~*ed_answer~"\n~p_name~: "~*ed_thanks~"
ed_scene: One ~e_day~ in ~e_season~, ~p_name~ met ~q_name~ at ~e_place~, where they had both been ~e_doing~.|~p_name~ called ~q_name~ ~e_time~ because there was something important to ask.|~p_name~ and ~q_name~ sat face to face on a train, and outside ~e_weather~.|
 ~p_name~ came to ~t_town~ to visit ~q_name~, and the two talked over a plate of ~e_food~.|The rain had stopped, and ~p_name~ and ~q_name~ were waiting for the bus near ~e_place~.
ed_ask: It is good to see you again. What have you been doing lately?|Do you know how far it is from here to ~t_town~?|I would like to learn ~e_skill~. Where should I begin?|What can one bring home from ~t_town~ as a present?|My ~e_thing~ is broken. Could you repair it for me?|
 I plan to go to ~e_place~ on ~e_day~. What do you think of that?|I hear that you have been to ~t_town~. Did you enjoy it?|Why do you spend every day ~e_doing~?|Are you ready for the ~e_subject~ test tomorrow?|Have you ever seen the sun rise from ~t_mountain~?|Do you still keep ~q_pet~ at home?
ed_answer: I have been busy ~e_doing~, and it will take until ~e_month~.|From ~t_neighbour~ it is ~t_distance~ kilometres, and the bus is the easiest way.|The place is famous for its ~t_product~, and you should also try ~t_dish~.|I went there last ~e_season~ and sat near ~e_place~ for a whole day.|
 Because my ~e_relative~ taught me that ~e_lesson~.|Not yet, but I am going to study ~e_subject~ tonight before I sleep.|Yes, but you have to climb before dawn, and it is cold at the top.|Of course, and only yesterday we found a broken ~e_thing~ on the floor.|I am not sure, but ~q_friend~ will certainly know.|
 The water there is called ~t_river~, and in summer you can row a boat on it.|They say that ~t_festival~ will be livelier than last year.
ed_more: And how long would that take?|Really? I have never heard of that. Please tell me more.|So that is why everybody likes to go there.|What should I do if it rains?|Is there any other way besides that?|I tried it once before, but it did not work.|What should I take along?|It sounds easy, but I am afraid of doing it badly.
ed_advice: Do not hurry; write down what has to be done and finish one thing after another.|It is best to prepare ~e_count~ days ahead, because there are many people in ~e_season~.|Borrow a book first, and then ask somebody who knows.|Practise for ~#10-50~ minutes every day, and you will see the difference in a month.|
 Take a ~e_thing~ and an umbrella, and buy the rest when you get there.|I would ask your ~e_relative~ first, who has done it many times.|Make a note of what you do not understand and show it to ~q_friend~.|Remember that ~e_lesson~.
ed_thanks: Thank you, now I feel much more ~e_feeling~.|Wonderful, I will go home and get ready at once.|It was lucky to meet you, or I would have gone the wrong way.|I see. Next time I will invite you for some ~e_food~.
ed_bye: You are welcome, and come to me whenever you have a question.|Then it is settled, and we will meet on ~e_day~ ~e_time~.|Take care on the road, and greet ~p_friend~ from me.|Good, I will wait for your news.

en_howto: ~eh_title~\n\n~*eh_intro~\n\nFirst, ~*eh_step~\nSecond, ~*eh_step~\nThird, ~*eh_step~\nFinally, ~*eh_step~\n\n~*eh_note~ ~*eh_note~|
 ~eh_title~\n\n~*eh_intro~ To begin, ~*eh_step~ Then ~*eh_step~ After that, ~*eh_step~ In the end, ~*eh_step~\n\n~*eh_note~ ~*eh_note~ ~*eh_end~
eh_title: How to learn ~k=e_skill~ in a few weeks.|A short guide to ~k=e_skill~ for people who have never tried it.|What ~p_name~ says about ~k=e_skill~.|Questions that beginners ask about ~k=e_skill~.
eh_intro: Many people think that ~k~ is hard, but with the right method it takes only ~e_count~ weeks to begin.|Expensive tools are not needed for ~k~; a ~e_thing~ and a ~e_thing~ from home will do.|~p_name~, a ~p_job~ for many years, has put together this advice about ~k~.|
 Those who want to learn ~k~ should set aside some time on every day of the week.|In ~t_town~ almost everybody knows something about ~k~, and the way to learn it is simple.
eh_step: get a ~e_thing~ and a clean cloth ready and clear the table.|watch how others do it and remember the position of the hands.|start with the simplest movement and practise for only ~#5-20~ minutes.|compare what is done with the picture and find the differences.|
 rest for ~#5-15~ minutes, so that the material can dry and the eyes can relax.|ask a ~e_relative~ to watch and correct every mistake at once.|measure the length and the width, and keep the error below ~#2-5~ millimetres.|keep the temperature near ~#15-28~ degrees, because heat and cold both do harm.|
 check every joint and make sure that nothing is loose.|wash it with water ~e_count~ times and leave it in the open air.|write down the result of the day together with the date.|work a little faster while keeping the movement even.|cut off what is too long and leave about ~#2-9~ centimetres.
eh_note: Do not practise late at night, because poor light leads to mistakes.|If it fails, do not lose heart, because ~e_lesson~.|Children who use a ~e_thing~ should never be left alone.|Clean the tools after use and put them back where they belong.|In damp weather the material needs one more day to dry.|
 Everybody learns at a different speed, and being slow is no problem.|Whoever is in doubt can ask the ~p_job~ near ~e_place~.|Repeat this about ~#10-30~ times before going on to the next step.
eh_end: With some patience you will be as good as ~p_name~.|When it is done, why not give it to your ~e_relative~ as a present?|The rest is a matter of time and care.

en_poem: ~ev_title~\nby ~p_name~ of ~p_home~, written in ~#1950-2020~.\n\n~*ev_line~\n~*ev_line~\n~*ev_line~\n~*ev_line~\n\n~*ev_line~\n~*ev_line~\n~*ev_line~\n~*ev_line~\n\n~*ev_note~ ~*ev_note~
ev_title: A Song for ~t_town~ in ~e_season~|When the ~e_flower~ Is in Bloom|Lines Written for ~q_name~|Looking at ~t_mountain~ from Afar|Under the ~e_tree~ Tree near ~t_town~
ev_line: The wind that comes from ~e_place~ carries the scent of rain.|I leave a ~e_thing~ on the sill and wait for the ~e_animal~ to come.|~^t_river~ goes on its way and takes the sorrow along.|Beyond the hill the lamps are lit, and somebody hums a tune.|The shadow of the ~e_tree~ tree falls like a letter on the wall.|
 The laughter of the children flies higher than the roof.|My mother cooks a pot of ~e_food~, and all the lane is warm.|If you are on this road tonight, then greet the moon from me.|The rain that falls on ~t_town~ has a voice in every drop.|O traveller, do not look back, for ~t_mountain~ is near.|
 The ~e_tree~ that we planted once is taller than the house.|Time is a quiet river, and it carries all of us along.|Between the pages of a book a leaf has kept its green.|Somewhere ~q_instrument~ is played, and the night grows soft and wide.|When snow begins to fall at last, the world becomes so light.|
 The day the ~e_flower~ blooms again we shall sit down for tea.|A boat arrives from ~t_neighbour~ with rice and golden hours.
ev_note: The poem was copied on a postcard and sent to ~q_name~.|The river in the poem is ~t_river~, and people still read the poem aloud on its banks.|Later somebody set it to music for ~q_instrument~.|The teacher asked the class to learn the first four lines by heart.|A poem should be read slowly, so that every picture has time to appear.

en_letter: Dear ~q_name~,\n\n~*el_open~ ~*el_news~ ~*el_news~\n\n~*el_news~ ~*el_ask~ ~*el_news~\n\n~*el_close~\n\nYours, ~p_name~, ~t_town~, ~#1-28~ ~e_month~ ~#1985-2024~.|
 Dear ~q_name~,\n\n~*el_open~ ~*el_ask~ ~*el_news~\n\n~*el_news~ ~*el_news~ ~*el_ask~ ~*el_close~\n\nYour friend ~p_name~ wrote this on ~#1-28~ ~e_month~ ~#1985-2024~.
el_open: Your letter came on ~e_day~, and I have read it ~e_count~ times.|It is ~e_season~ again, and outside ~e_weather~ when I got up.|I have not written for so long that you must be angry with me.|Yesterday I passed by ~e_place~ and suddenly thought of you.|I arrived in ~t_town~ safely after ~#3-20~ hours on the road.
el_news: My ~e_relative~ is much better now and can walk to ~e_place~ again.|I have started to learn ~e_skill~ from a ~p_job~, and my hands are sore.|The ~e_flower~ in the yard is in bloom, and a ~e_animal~ comes to visit us.|Last month we went to ~t_festival~, and there were so many people that we could hardly move.|
 The ~e_thing~ that you gave me stands on my desk, where I see it every day.|The people here make good use of what they have; you must try ~t_dish~ when you come.|~p_pet~ got used to the new home, though the nights are still noisy.|I am reading a book about the history of ~t_province~ and have come to page ~#20-90~.|
 Last night there was no light at all, so we sat by the lamp and talked.|The water has risen, and the boat to ~t_neighbour~ did not run for three days.
el_ask: How is the weather where you are?|Do you still play ~q_instrument~?|Is your new work going well? A ~q_job~ must be busy at this time of the year.|When will you come to ~t_town~ for a few days?|You said that you wanted to learn ~e_skill~; how is it going?
el_close: It is late, so I will stop here and wait for your answer.|Please greet ~q_friend~ from me, and let me know if there is anything I can do.|When ~e_season~ comes, we will go and see ~t_mountain~ together.|Take care of yourself and do not work too much.|With this letter I am sending you some ~t_product~, which I hope you will like.

en_cause: ~*ec_one~ ~*ec_one~ ~*ec_link~\n\n~*ec_one~ ~*ec_one~\n\n~*ec_link~ ~*ec_one~ ~*ec_one~|~ec_title~\n\n~*ec_one~ ~*ec_link~ ~*ec_one~\n\n~*ec_one~ ~*ec_one~ ~*ec_link~ ~*ec_one~ ~*ec_one~
ec_title: Many things in daily life have a reason, and whoever looks closely can find it.|~p_name~ likes to ask why, and here are some of the answers from the notebook.|In the science lesson the teacher explained a few things that everybody has seen.
ec_one: Water freezes below zero degrees, so in winter people can walk across ~t_river~.|Iron rusts when it is damp, and therefore tools should be dried after use.|Plants need light, so a ~e_flower~ that is kept in the dark slowly turns yellow.|Sound travels more slowly than light, which is why we see the flash before we hear the thunder.|
 The air on a mountain is thin and cold, so the snow on ~t_mountain~ melts late.|The moon has no light of its own, and what we see is the light of the sun.|Cats have soft pads under their feet, and so they walk without a sound.|Yeast makes gas in the dough, and because of this the bread becomes soft.|
 Wood is lighter than water and floats, while a stone is heavier and sinks.|Warm air is lighter than cold air and rises, which is how a paper lantern flies.|Salt water freezes at a lower temperature, and that is why salt is spread on icy roads.|Bees carry pollen from flower to flower, and as a result the trees bear ~e_fruit~.|
 Dark clothes take up more heat than white ones, so the colour of a coat matters in ~e_season~.|In autumn the days grow short, the trees get less light, and the leaves fall.|The mud that a river brings settles on flat land and makes the soil rich.|A mirror throws back the light, and so we can see ourselves in it.|
 Oil is lighter than water and does not mix with it, so it always floats on the soup.|The body needs more oxygen when it moves, and therefore the heart beats faster.|A compass needle points north and south, which helped people find their way at sea.|~t_town~ lies close to ~t_river~, and so its ~t_product~ could be sold far away by boat.|
 There was no rain for many days, the ground became hard, and ~p_name~ had to carry water from the well.
ec_link: Once the reason is known, it is clear what to do.|This is no accident but a rule.|The same idea explains many other things.|Those who do not believe it can try it at home.|~p_name~ wrote this down and added a drawing.|What would happen the other way round?|The teacher added that one should always look more than once.

en_news: ~*en_lead~ ~*en_detail~\n\n~*en_detail~ ~*en_quote~ ~*en_detail~\n\n~*en_quote~ ~*en_detail~ ~*en_end~|~*en_lead~ ~*en_quote~ ~*en_detail~\n\n~*en_detail~ ~*en_detail~\n\n~*en_quote~ ~*en_end~
en_lead: ~^t_festival~ in ~t_town~ opened on ~#1-28~ ~e_month~ and drew more than ~#2-9~ thousand guests.|In ~e_month~ ~#2001-2024~, ~t_province~ decided to build a new bridge over ~t_river~ near ~t_town~.|The library of ~t_town~ welcomed a very special reader yesterday.|
 The harvest of this year in ~t_town~ was ~#5-35~ percent better than the last, and so was the trade in ~t_product~.|On ~e_day~ a train to ~u_town~ was ~#20-90~ minutes late because of the snow.|The school of ~t_town~ held a ~e_subject~ contest in which ~#40-260~ pupils took part.
en_detail: On that day many people came early and stood in line near ~e_place~.|The work is expected to take ~#6-30~ months and to cost a great deal of money.|A ~e_thing~ and a ~e_thing~ from the old days were also on show.|The oldest guest was ~#78-96~ years old, and the youngest was only ~#3-6~.|
 There was enough ~t_dish~ for everyone, but it was gone in less than an hour.|The road to ~t_landmark~ is closed for the time being, and walkers have to go past ~e_place~.|A visitor from ~t_neighbour~ said that the trip had taken only ~#30-90~ minutes.|A year ago there were not even half as many people.|For safety, lamps and railings have been put up along the river.
en_quote: "We want more people to know ~t_town~," said ~t_mayor~, the mayor.|"The secret is that ~e_lesson~," ~p_name~, a ~p_job~, told the reporter.|A man who sold ~e_food~ said with a smile that it was the best day of the year.|"I came all the way from ~u_town~ to see ~t_mountain~," said ~q_name~.|In the view of ~q_name~, taking care of ~t_river~ is more important than building roads.
en_end: The event will go on until the end of ~e_month~.|Those who want to take part can sign their names at ~e_place~.|The weather service says that it will be colder in the next ~e_count~ days.|The full programme can be read in front of ~t_landmark~.
)g";

const std::string_view kEnglishMath = R"g(
en_math: ~em_head~\n\nProblem one. ~*em_a~\n\nProblem two. ~*em_b~\n\nProblem three. ~*em_c~\n\n~em_tail~|~em_head~\n\nProblem one. ~*em_c~\n\nProblem two. ~*em_d~\n\nProblem three. ~*em_a~\n\n~em_tail~|
 ~em_head~\n\nProblem one. ~*em_b~\n\nProblem two. ~*em_c~\n\nProblem three. ~*em_d~\n\n~em_tail~
em_head: These are problems from the notebook of ~p_name~, and each of them shows how the answer was found.|The teacher ~q_name~ wrote some problems on the board, and ~p_name~ solved them step by step.|Read each problem with care, find the numbers that are given, and think about the method before you begin.
em_tail: When it was done, ~p_name~ went through all of it once more and found no mistake.|It is more important to write down every step than to give only the answer.|If your answer is different, look back and see where the two begin to differ.
em_a: ~p_name~ has ~a1=#12-89~ ~fa=e_fruit~ and gets ~a2=#5-60~ more from ~q_name~. How many ~fa~ are there in all? Answer: we add the two numbers, so ~a1~ + ~a2~ = ~=a1+a2~. There are ~=a1+a2~ ~fa~ in all.|
 There were ~a1=#60-150~ books on the shelf, and the pupils borrowed ~a2=#11-55~ of them. How many books are left? Answer: borrowing takes away, so we subtract, and ~a1~ - ~a2~ = ~=a1-a2~. There are ~=a1-a2~ books left.|
 A train carries ~a1=#90-300~ people. At the station ~a2=#10-80~ get off and ~a3=#10-90~ get on. How many people are on the train now? Answer: first ~a1~ - ~a2~ = ~=a1-a2~, and then ~=a1-a2~ + ~a3~ = ~=a1-a2+a3~. There are ~=a1-a2+a3~ people on the train.
em_b: One box holds ~b1=#4-12~ pencils, and ~p_name~ buys ~b2=#3-15~ boxes for the school. How many pencils are there? Answer: we multiply the pencils in a box by the number of boxes, so ~b1~ * ~b2~ = ~=b1*b2~. There are ~=b1*b2~ pencils.|
 An orchard has ~b1=#6-20~ rows with ~b2=#7-25~ ~e_tree~ trees in each row. How many trees have been planted? Answer: equal groups are multiplied, so ~b1~ * ~b2~ = ~=b1*b2~. The orchard has ~=b1*b2~ trees.|
 ~p_name~ reads ~b1=#8-30~ pages every day for ~b2=#4-14~ days. How many pages is that? Answer: pages per day times the number of days gives ~b1~ * ~b2~ = ~=b1*b2~. That is ~=b1*b2~ pages.
em_c: A coat costs ~c1=#30-95~ coins and a hat costs ~c2=#8-28~ coins. ~q_name~ buys ~c3=#2-6~ coats and one hat. What is the price of everything together? Answer: the coats cost ~c1~ * ~c3~ = ~=c1*c3~ coins, and with the hat it is ~=c1*c3~ + ~c2~ = ~=c1*c3+c2~ coins.|
 A bus drives ~c1=#40-90~ kilometres in an hour. After ~c2=#2-7~ hours there are still ~c3=#10-60~ kilometres to go from ~t_town~ to ~u_town~. How long is the way? Answer: the bus has done ~c1~ * ~c2~ = ~=c1*c2~ kilometres, and ~=c1*c2~ + ~c3~ = ~=c1*c2+c3~, so the way is ~=c1*c2+c3~ kilometres long.|
 ~p_name~ saved ~c1=#100-400~ coins and spent some of them on ~c2=#3-6~ books at ~c3=#12-29~ coins each. How many coins are left? Answer: the books cost ~c2~ * ~c3~ = ~=c2*c3~ coins, and ~c1~ - ~=c2*c3~ = ~=c1-c2*c3~, so ~=c1-c2*c3~ coins are left.
em_d: Some sweets are shared by ~d1=#3-9~ friends, and each of them gets ~d2=#4-16~ with none left over. How many sweets were there? Answer: friends times sweets gives ~d1~ * ~d2~ = ~=d1*d2~. To check, ~=d1*d2~ / ~d1~ = ~d2~. There were ~=d1*d2~ sweets.|
 What is the sum of the numbers ~d1=#10-50~ and ~d2=#10-50~ and ~d3=#10-50~? Answer: first we find ~d1~ + ~d2~ = ~=d1+d2~, and then we find ~=d1+d2~ + ~d3~ = ~=d1+d2+d3~. The sum is ~=d1+d2+d3~.|
 This year ~p_name~ is ~d1=#8-14~ years old, and the ~e_relative~ is ~d2=#3-6~ times as old. What is the difference between the two? Answer: the older one is ~d1~ * ~d2~ = ~=d1*d2~ years old, and ~=d1*d2~ - ~d1~ = ~=d1*d2-d1~, so the difference is ~=d1*d2-d1~ years.
)g";

}  // namespace athanor::synth
