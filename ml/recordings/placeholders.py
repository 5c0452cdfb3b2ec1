"""Names that stand for no artist, no album and no recording in particular, in several languages.

They join no tracks. All sets hold spellings as `ml.recordings.spelling.spelling_key` gives them.
"""

from melgraph.ml.recordings.spelling import spelling_key

_ARTISTS = """
    Unknown; Unknown Artist; Unknown Performer; No Artist; None; N/A; Null; NaN; Undefined;
    Untitled; Artist; Artists; Anonymous; Anon.; Default; Misc; Miscellaneous; Other; Others;
    Traditional; Trad.; Various; Various Artists; Various Artist; Various Performers; V.A.;
    V/A; VVAA; Diverse; Divers; Div.; Compilation; Soundtrack; Original Soundtrack; OST;
    Original Cast; Multiple Artists; Several; Unbekannt; Unbekannter Interpret;
    Unbekannter Künstler; Verschiedene; Verschiedene Interpreten; Verschiedene Künstler;
    Diverse Interpreten; Diverse Künstler; Inconnu; Artiste inconnu; Interprète inconnu;
    Artistes divers; Artistes variés; Compilations; Multi-interprètes; Desconocido;
    Artista desconocido; Intérprete desconocido; Varios; Varios artistas; Varios intérpretes;
    AA.VV.; VV.AA.; Artisti vari; Vari; Sconosciuto; Artista sconosciuto; Desconhecido;
    Artista desconhecido; Vários; Vários artistas; Vários intérpretes; Onbekend;
    Onbekende artiest; Diverse artiesten; Okänd; Okänd artist; Blandade artister;
    Diverse artister; Ukjent; Ukjent artist; Ukendt; Ukendt kunstner; Diverse kunstnere;
    Tuntematon; Tuntematon esittäjä; Tuntematon artisti; Eri esittäjiä; Nieznany;
    Nieznany wykonawca; Różni wykonawcy; Neznámý; Neznámý interpret; Různí interpreti;
    Ismeretlen előadó; Különböző előadók; Artist necunoscut; Άγνωστος καλλιτέχνης; Διάφοροι;
    Διάφοροι καλλιτέχνες; Неизвестен; Неизвестный; Неизвестный исполнитель;
    Неизвестный артист; Разные исполнители; Разные; Сборник; Невідомий виконавець;
    Різні виконавці; Bilinmeyen sanatçı; Çeşitli sanatçılar; Karışık; 不明;
    不明なアーティスト; アーティスト不明; ヴァリアス・アーティスト; ヴァリアス; オムニバス;
    未知; 未知艺术家; 未知藝術家; 未知歌手; 群星; 华语群星; 華語群星; 佚名; 合辑;
    알 수 없는 아티스트; 여러 아티스트; فنان غير معروف; فنانون متنوعون; אמן לא ידוע;
    אמנים שונים; Nghệ sĩ không xác định; Nhiều nghệ sĩ; Artis tidak dikenal; अज्ञात कलाकार
"""
_ALBUMS = """
    Unknown Album; No Album; Album; Single; Singles; Greatest Hits; The Best; Best of;
    The Best of; Live; Demo; Demos; Hits; Collection; Mixtape; EP; Compilation; Bonus Tracks;
    Soundcloud; Bandcamp; YouTube; Downloads; Unbekanntes Album; Album inconnu;
    Álbum desconocido; Album sconosciuto; Álbum desconhecido; Onbekend album; Okänt album;
    Ukjent album; Ukendt album; Tuntematon albumi; Nieznany album; Неизвестный альбом;
    Bilinmeyen albüm; 不明なアルバム; 未知专辑; 未知專輯; 알 수 없는 앨범
"""
_WORDS = """
    of; no; nr; num; number; by; from; my; and;
    track; tracks; trk; song; songs; audio; audio track; sound; sounds; file; files; music;
    title; untitled; unnamed; tune; recording; recordings; rec; take; clip; clips; chunk;
    segment; part; sample; samples; excerpt; loop; beat; new recording; voice; memo; wav; mp3;
    flac; ogg; opus; m4a; aac; aiff; wma; output; out; export; mix; master; mixdown; bounce;
    session; cd; disc; disk; dvd; lp; vinyl; side; vol; volume; album; albums; artist;
    artists; single; singles; live; misc; other; others; various; new folder; data; dataset;
    train; training; valid; validation; val; dev; test; testing; eval; split; fold; set;
    subset; raw; original; originals; processed; converted; genre; genres; genres original;
    label; labels; class; library; collection; media; downloads; download; incoming; temp;
    tmp; titel; stück; spur; aufnahme; lied; piste; titre; morceau; enregistrement; chanson;
    pista; canción; tema; grabación; traccia; brano; canzone; registrazione; faixa; música;
    musica; gravação; nummer; opname; spår; låt; spor; numer; utwór; ścieżka; nagranie; трек;
    дорожка; запись; песня; parça; トラック; 曲; 音轨; 曲目; 트랙
"""


def _keys(names: str) -> frozenset[str]:
    return frozenset(key for name in names.split(";") if (key := spelling_key(name)))


ARTISTS = _keys(_ARTISTS)
"""Names in file metadata that stand for no artist."""

ALBUMS = _keys(_ALBUMS) | ARTISTS
"""Titles that many albums have, or that stand for no album."""

WORDS = _keys(_WORDS)
"""Words before a number that name no recording (`Track 1`), and names of folders with any music."""
