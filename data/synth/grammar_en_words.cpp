#include "data/synth/grammars.h"

namespace athanor::synth {

const std::string_view kEnglishWords = R"g(
e_season: spring|summer|autumn|winter|early spring|late autumn|the rainy season|midsummer
e_time: in the morning|at noon|in the afternoon|in the evening|late at night|before sunrise|after supper|at dusk|just after dawn
e_day: Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday
e_month: January|February|March|April|May|June|July|August|September|October|November|December
e_weather: a light rain was falling|the sun shone on the roofs|a cold wind blew from the hills|thick fog lay over the water|snow came down without a sound|
 the sky was clear and deep|thunder rolled in the distance|the air smelled of flowers|low clouds hid the moon|the stars came out one after another|
 ice covered the road|the leaves turned in the wind
e_place: the river bank|the market|the school|the library|the station|the harbour|the garden|the orchard|the hillside|the forest|the post office|the tea house|
 the bakery|the hospital gate|the playground|the bridge|the old well|the warehouse|the clock tower|the museum|the ferry|the mill|the book shop|the square|
 the attic|the cellar|the kitchen|the laboratory|the lake|the beach|the narrow lane|the inn|the workshop|the cinema
e_thing: key|school bag|umbrella|map|watch|diary|photo album|wooden box|telescope|copper bell|porcelain bowl|brush|scarf|hat|bicycle|kite|lantern|harmonica|
 chess board|purse|envelope|pocket knife|torch|basket|radio|clay jar|ball|doll|coin|compass|magnifying glass|glass bottle|blanket|oil lamp|stamp album|picture frame
e_animal: puppy|cat|white horse|goat|sparrow|magpie|frog|squirrel|hedgehog|hare|goose|ox|tortoise|dragonfly|bee|owl|fox|deer|pigeon|crab
e_food: bread|noodles|dumplings|porridge|soup|pancakes|baked potatoes|pie|fried rice|salad|cheese|honey cakes|roast chestnuts|jam|corn|stew|biscuits|apple sauce
e_relative: grandfather|grandmother|father|mother|uncle|aunt|elder brother|elder sister|younger brother|cousin|neighbour|teacher|classmate|old friend|employer
e_feeling: happy|worried|sad|surprised|afraid|angry|proud|shy|moved|curious|disappointed|relieved|nervous|tired|excited|calm|lonely|content
e_manner: slowly|quickly|quietly|carefully|with a smile|gently|loudly|without a word|at once|patiently|eagerly|with great care
e_doing: sweeping the yard|mending the fence|sorting the shelves|watering the flowers|carrying firewood|feeding the animals|copying poems|preparing supper|
 drying clothes|washing the nets|grinding beans|drawing a map|practising sums|weighing grain|picking fruit|writing down the temperature|cleaning the windows|
 planting trees|checking the machines|translating letters|polishing the boards
e_good: bright|warm|solid|tidy|fresh|quiet|beautiful|light|soft|ancient|simple|useful
e_bad: broken|damp|heavy|cold|dark|noisy|rusty|crooked|dirty|bitter|narrow|dangerous
e_skill: swimming|riding|carpentry|cooking|sewing|painting|first aid|reading the weather|finding herbs|repairing clocks|weaving baskets|rowing|growing vegetables|
 keeping accounts|handwriting|playing the flute
e_lesson: what you begin you should finish|panic never solved a problem|whoever helps others helps himself|honesty is worth more than cleverness|it pays to prepare|
 lost time never comes back|one more question saves many steps|many hands make light work|pride makes people blind|small things can hold great truths|
 patience is always rewarded|seeing is better than hearing|a promise has to be kept|tools need care|there is no shame in correcting a mistake
e_subject: reading|mathematics|history|geography|music|drawing|science
e_fruit: apples|pears|peaches|oranges|plums|grapes|cherries|figs|bananas|lemons
e_flower: lotus|chrysanthemum|plum blossom|rose|orchid|jasmine|peony|lily|tulip|daffodil
e_tree: willow|pine|maple|ginkgo|poplar|oak|birch|chestnut|cedar|elm
e_count: two|three|four|five|six|seven|eight|nine|ten|a dozen
)g";

}  // namespace athanor::synth
