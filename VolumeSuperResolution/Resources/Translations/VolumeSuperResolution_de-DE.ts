<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="de_DE" sourcelanguage="en_US">
<context>
    <name>VolumeSuperResolution</name>
    <message>
        <source>Upscale</source>
        <translation>Verfeinern</translation>
    </message>
    <message>
        <source>One volu&amp;me</source>
        <translation>Ein Volu&amp;men</translation>
    </message>
    <message>
        <source>Make one volume sharper.</source>
        <translation>Ein Volumen schärfer machen.</translation>
    </message>
    <message>
        <source>Several stac&amp;ks</source>
        <translation>Mehrere S&amp;tapel</translation>
    </message>
    <message>
        <source>Make one sharp volume of several stacks of thick slices of one contrast, axial, sagittal and coronal for example.</source>
        <translation>Aus mehreren Stapeln dicker Schichten eines Kontrasts, etwa axial, sagittal und koronal, ein scharfes Volumen machen.</translation>
    </message>
    <message>
        <source>Search volumes</source>
        <translation>Volumen suchen</translation>
    </message>
    <message>
        <source>Show only the volumes that have all these words in their name.</source>
        <translation>Nur die Volumen zeigen, die alle diese Wörter im Namen haben.</translation>
    </message>
    <message>
        <source>Tick the stacks to combine. Those that belong together are ticked already: of one study and contrast, each in a plane of its own. While the comparison is open, it follows the row that you click.</source>
        <translation>Die Stapel ankreuzen, die vereint werden sollen. Was zusammengehört, ist es schon: aus einer Untersuchung, von einem Kontrast, jeder in einer eigenen Ebene. Ist der Vergleich offen, folgt er der angeklickten Zeile.</translation>
    </message>
    <message>
        <source>Stack</source>
        <translation>Stapel</translation>
    </message>
    <message>
        <source>Plane</source>
        <translation>Ebene</translation>
    </message>
    <message>
        <source>Thickness</source>
        <translation>Dicke</translation>
    </message>
    <message>
        <source>Every</source>
        <translation>Abstand</translation>
    </message>
    <message>
        <source>Pixels</source>
        <translation>Pixel</translation>
    </message>
    <message>
        <source>Reference s&amp;tack:</source>
        <translation>&amp;Bezugsstapel:</translation>
    </message>
    <message>
        <source>The stack whose place, axes and brightness the result has.</source>
        <translation>Der Stapel, dessen Lage, Achsen und Helligkeit das Ergebnis bekommt.</translation>
    </message>
    <message>
        <source>Spacin&amp;g:</source>
        <translation>Vo&amp;xelgröße:</translation>
    </message>
    <message>
        <source>Voxel size of the result, the same on all axes. Automatic: that of the finest pixels.</source>
        <translation>Voxelgröße des Ergebnisses, auf allen Achsen gleich. Automatisch: die der feinsten Pixel.</translation>
    </message>
    <message>
        <source> mm</source>
        <translation> mm</translation>
    </message>
    <message>
        <source>Automatic</source>
        <translation>Automatisch</translation>
    </message>
    <message>
        <source>E&amp;xtent:</source>
        <translation>Aus&amp;dehnung:</translation>
    </message>
    <message>
        <source>How far the result reaches: as the reference, as what all stacks show, or as what any of them shows.</source>
        <translation>Wie weit das Ergebnis reicht: wie der Bezug, wie das, was alle Stapel zeigen, oder wie das, was irgendeiner zeigt.</translation>
    </message>
    <message>
        <source>Take the stacks where they lie instead of laying them over each other first.</source>
        <translation>Die Stapel nehmen, wo sie liegen, statt sie erst zur Deckung zu bringen.</translation>
    </message>
    <message>
        <source>The patient lay still &amp;between the stacks</source>
        <translation>Der &amp;Patient lag zwischen den Stapeln still</translation>
    </message>
    <message>
        <source>Networks add what the stacks leave open: those for one scan of each by itself, and one that sees all together. It takes longer.</source>
        <translation>Netze ergänzen, was die Stapel offenlassen: jene für eine Aufnahme bei jedem für sich, und eines, das alle zusammen sieht. Es dauert länger.</translation>
    </message>
    <message>
        <source>Detail b&amp;y networks</source>
        <translation>Einzelheiten durch Netze (&amp;Y)</translation>
    </message>
    <message>
        <source>Also make two volumes: how many stacks saw each voxel, and what they say otherwise than the result.</source>
        <translation>Zusätzlich zwei Volumen machen: wie viele Stapel jedes Voxel sahen, und was sie anders sagen als das Ergebnis.</translation>
    </message>
    <message>
        <source>Maps of coverage and res&amp;idual</source>
        <translation>&amp;Karten der Abdeckung und der Reste</translation>
    </message>
    <message>
        <source>&amp;Input volume:</source>
        <translation>&amp;Eingabevolumen:</translation>
    </message>
    <message>
        <source>The scan to upscale. It is never changed.</source>
        <translation>Die Aufnahme, die verfeinert werden soll. Sie wird nie verändert.</translation>
    </message>
    <message>
        <source>What is known of the scan, and from where. Thickness, profile and noise can be told under Advanced.</source>
        <translation>Was über die Aufnahme bekannt ist, und woher. Schichtdicke, Profil und Rauschen lassen sich unter Erweitert angeben.</translation>
    </message>
    <message>
        <source>&amp;Target:</source>
        <translation>&amp;Ziel:</translation>
    </message>
    <message>
        <source>How fine the result becomes. The field of view stays exactly the same.</source>
        <translation>Wie fein das Ergebnis wird. Das Gesichtsfeld bleibt genau gleich.</translation>
    </message>
    <message>
        <source>Vo&amp;xel size:</source>
        <translation>Vo&amp;xelgröße:</translation>
    </message>
    <message>
        <source>Voxel size of the result along the first axis of the volume (i).</source>
        <translation>Voxelgröße des Ergebnisses entlang der ersten Achse des Volumens (i).</translation>
    </message>
    <message>
        <source>Voxel size of the result along the second axis of the volume (j).</source>
        <translation>Voxelgröße des Ergebnisses entlang der zweiten Achse des Volumens (j).</translation>
    </message>
    <message>
        <source>Voxel size of the result along the third axis of the volume, across its slices (k).</source>
        <translation>Voxelgröße des Ergebnisses entlang der dritten Achse des Volumens, quer zu den Schichten (k).</translation>
    </message>
    <message>
        <source>Models</source>
        <translation>Modelle</translation>
    </message>
    <message>
        <source>Every model at hand: what it is for, how much smaller its error was, how long it takes, and how large it is.</source>
        <translation>Alle vorhandenen Modelle: wofür sie sind, um wie viel ihr Fehler kleiner war, wie lange sie brauchen und wie groß sie sind.</translation>
    </message>
    <message>
        <source>Search models</source>
        <translation>Modelle suchen</translation>
    </message>
    <message>
        <source>Show only the models that have all these words in their name or description.</source>
        <translation>Nur Modelle zeigen, die alle diese Wörter in Namen oder Beschreibung haben.</translation>
    </message>
    <message>
        <source>MR and CT: by how much smaller the error was than that of the best interpolation, on noisy scans that no training saw.</source>
        <translation>MR und CT: um wie viel der Fehler kleiner war als der der besten Interpolation, auf verrauschten Aufnahmen, die kein Training gesehen hat.</translation>
    </message>
    <message>
        <source>Model</source>
        <translation>Modell</translation>
    </message>
    <message>
        <source>MR</source>
        <translation>MR</translation>
    </message>
    <message>
        <source>CT</source>
        <translation>CT</translation>
    </message>
    <message>
        <source>Time</source>
        <translation>Zeit</translation>
    </message>
    <message>
        <source>Size</source>
        <translation>Größe</translation>
    </message>
    <message>
        <source>Realism:</source>
        <translation>Realismus:</translation>
    </message>
    <message>
        <source>faithful</source>
        <translation>treu</translation>
    </message>
    <message>
        <source>From the faithful model (0), which adds little that is not sure, to this one (1), which looks most like a real scan and may show what is not there.</source>
        <translation>Vom treuen Modell (0), das wenig Unsicheres hinzufügt, bis zu diesem (1), das am meisten wie eine echte Aufnahme aussieht und zeigen kann, was nicht da ist.</translation>
    </message>
    <message>
        <source>realistic</source>
        <translation>echt</translation>
    </message>
    <message>
        <source>Install P&amp;yTorch</source>
        <translation>P&amp;yTorch installieren</translation>
    </message>
    <message>
        <source>Have the extension PyTorch install what the networks need; it asks first.</source>
        <translation>Die Erweiterung PyTorch installieren lassen, was die Netze brauchen; sie fragt vorher.</translation>
    </message>
    <message>
        <source>Upscale a small box around the crosshair (or the middle of the volume, if the crosshair is not on it) and show it beside the interpolation: a moment instead of the whole run. It follows the crosshair and the settings.</source>
        <translation>Einen kleinen Kasten um das Fadenkreuz (oder die Mitte des Volumens, wenn das Fadenkreuz nicht darauf liegt) verfeinern und neben der Interpolation zeigen: ein Augenblick statt des ganzen Laufs. Er folgt dem Fadenkreuz und den Einstellungen.</translation>
    </message>
    <message>
        <source>&amp;Preview</source>
        <translation>&amp;Vorschau</translation>
    </message>
    <message>
        <source>Make the result.</source>
        <translation>Das Ergebnis berechnen.</translation>
    </message>
    <message>
        <source>&amp;Apply</source>
        <translation>&amp;Anwenden</translation>
    </message>
    <message>
        <source>Learn no more, and go on with the best that was learned so far.</source>
        <translation>Nicht weiter lernen und mit dem Besten fortfahren, was bisher gelernt wurde.</translation>
    </message>
    <message>
        <source>Enou&amp;gh</source>
        <translation>Genu&amp;g</translation>
    </message>
    <message>
        <source>&amp;Undo</source>
        <translation>&amp;Rückgängig</translation>
    </message>
    <message>
        <source>Remove this result again. Not possible where an existing volume was overwritten.</source>
        <translation>Dieses Ergebnis wieder entfernen. Nicht möglich, wenn ein vorhandenes Volumen überschrieben wurde.</translation>
    </message>
    <message>
        <source>Copy as Pytho&amp;n</source>
        <translation>Als Pytho&amp;n kopieren</translation>
    </message>
    <message>
        <source>Copy the call that does the same in the Python console.</source>
        <translation>Den Aufruf kopieren, der in der Python-Konsole dasselbe tut.</translation>
    </message>
    <message>
        <source>Save as &amp;DICOM</source>
        <translation>Als &amp;DICOM sichern</translation>
    </message>
    <message>
        <source>Save this result as a DICOM series, derived from that of the input: same patient and study.</source>
        <translation>Das Ergebnis als DICOM-Serie sichern, abgeleitet von der der Eingabe: gleicher Patient, gleiche Studie.</translation>
    </message>
    <message>
        <source>Detai&amp;ls</source>
        <translation>Einze&amp;lheiten</translation>
    </message>
    <message>
        <source>Show the whole report of the run.</source>
        <translation>Den ganzen Bericht des Laufs zeigen.</translation>
    </message>
    <message>
        <source>&amp;Bring its segmentations along</source>
        <translation>Segmentierungen mit&amp;bringen</translation>
    </message>
    <message>
        <source>Take the segmentations that were drawn on the input to the grid of this result: rounder, with the same segments and volumes. New segmentations are added.</source>
        <translation>Bringt die Segmentierungen der Eingabe auf das Gitter dieses Ergebnisses: runder, mit denselben Segmenten und Volumina. Es entstehen neue Segmentierungen.</translation>
    </message>
    <message>
        <source>Compare</source>
        <translation>Vergleichen</translation>
    </message>
    <message>
        <source>Show input, interpolation and result in three linked views with the same window and level; press again to return to the previous layout.</source>
        <translation>Eingabe, Interpolation und Ergebnis in drei verbundenen Ansichten mit gleicher Fensterung zeigen; noch einmal drücken, um zur vorigen Anordnung zurückzukehren.</translation>
    </message>
    <message>
        <source>&amp;Compare</source>
        <translation>Ver&amp;gleichen</translation>
    </message>
    <message>
        <source>Center the three views on the crosshair and magnify it. Hold Shift and move the mouse over a view to place the crosshair.</source>
        <translation>Die drei Ansichten auf das Fadenkreuz zentrieren und vergrößern. Umschalttaste halten und die Maus über eine Ansicht bewegen, um das Fadenkreuz zu setzen.</translation>
    </message>
    <message>
        <source>&amp;Zoom</source>
        <translation>&amp;Vergrößern</translation>
    </message>
    <message>
        <source>&amp;Slices:</source>
        <translation>&amp;Schichten:</translation>
    </message>
    <message>
        <source>Which slices of the volume the three views show.</source>
        <translation>Welche Schichten des Volumens die drei Ansichten zeigen.</translation>
    </message>
    <message>
        <source>Right vie&amp;w:</source>
        <translation>&amp;Rechts:</translation>
    </message>
    <message>
        <source>What the right view shows: the result; flickering between interpolation and result; the interpolation left of a curtain that follows the mouse; what was changed, in colors; or where the network guesses. F7 takes the next of these, F8 begins and ends the flicker.</source>
        <translation>Was die rechte Ansicht zeigt: das Ergebnis; Wechsel zwischen Interpolation und Ergebnis; die Interpolation links von einem Vorhang, der der Maus folgt; was geändert wurde, in Farben; oder wo das Netz rät. F7 nimmt das nächste davon, F8 beginnt und beendet das Wechseln.</translation>
    </message>
    <message>
        <source>Cu&amp;rtain:</source>
        <translation>Vor&amp;hang:</translation>
    </message>
    <message>
        <source>Where the curtain stands. Over the right view it follows the mouse.</source>
        <translation>Wo der Vorhang steht. Über der rechten Ansicht folgt er der Maus.</translation>
    </message>
    <message>
        <source>Open this comparison as soon as a result is ready.</source>
        <translation>Diesen Vergleich öffnen, sobald ein Ergebnis da ist.</translation>
    </message>
    <message>
        <source>&amp;Open when ready</source>
        <translation>Danach &amp;öffnen</translation>
    </message>
    <message>
        <source>Advanced</source>
        <translation>Erweitert</translation>
    </message>
    <message>
        <source>&amp;Output volume:</source>
        <translation>&amp;Ausgabevolumen:</translation>
    </message>
    <message>
        <source>Where the result goes: a new volume beside the input, or an existing one, which is overwritten.</source>
        <translation>Wohin das Ergebnis kommt: in ein neues Volumen neben der Eingabe oder in ein vorhandenes, das überschrieben wird.</translation>
    </message>
    <message>
        <source>New volume</source>
        <translation>Neues Volumen</translation>
    </message>
    <message>
        <source>Re&amp;gion:</source>
        <translation>Be&amp;reich:</translation>
    </message>
    <message>
        <source>Upscale only what this ROI box covers. The module Markups makes such boxes.</source>
        <translation>Nur verfeinern, was dieser ROI-Kasten umfasst. Das Modul Markups erzeugt solche Kästen.</translation>
    </message>
    <message>
        <source>Whole volume</source>
        <translation>Ganzes Volumen</translation>
    </message>
    <message>
        <source>&amp;Device:</source>
        <translation>&amp;Gerät:</translation>
    </message>
    <message>
        <source>Where the network runs. Automatic takes a GPU if there is one that works.</source>
        <translation>Wo das Netz läuft. Automatisch nimmt eine GPU, wenn eine da ist, die funktioniert.</translation>
    </message>
    <message>
        <source>&amp;Precision:</source>
        <translation>&amp;Präzision:</translation>
    </message>
    <message>
        <source>Half precision is faster on a GPU; automatic uses it only for models that lose nothing visible by it.</source>
        <translation>Halbe Präzision ist auf einer GPU schneller; Automatisch nimmt sie nur für Modelle, die dadurch nichts Sichtbares verlieren.</translation>
    </message>
    <message>
        <source>Memo&amp;ry limit:</source>
        <translation>&amp;Speichergrenze:</translation>
    </message>
    <message>
        <source>How much memory the network may use at most. Less memory takes longer and gives the same result.</source>
        <translation>Wie viel Speicher das Netz höchstens nutzen darf. Weniger dauert länger und gibt dasselbe Ergebnis.</translation>
    </message>
    <message>
        <source> MB</source>
        <translation> MB</translation>
    </message>
    <message>
        <source>Consistenc&amp;y:</source>
        <translation>&amp;Konsistenz:</translation>
    </message>
    <message>
        <source>Rounds that pull the result back to the scan, so that nothing is added which the scan contradicts. Automatic: as the model recommends.</source>
        <translation>Runden, die das Ergebnis zur Aufnahme zurückziehen, damit nichts hinzukommt, dem die Aufnahme widerspricht. Automatisch: wie es das Modell empfiehlt.</translation>
    </message>
    <message>
        <source> rounds</source>
        <translation> Runden</translation>
    </message>
    <message>
        <source>Replace values that are not numbers (NaN and infinity) with the lowest value of the volume, instead of refusing it.</source>
        <translation>Werte, die keine Zahlen sind (NaN und unendlich), durch den kleinsten Wert des Volumens ersetzen, statt es abzulehnen.</translation>
    </message>
    <message>
        <source>Replace values that are &amp;not numbers</source>
        <translation>Werte ersetzen, die keine Zahle&amp;n sind</translation>
    </message>
    <message>
        <source>Also make a volume of how much the result varies when the scan is flipped: high where the network guesses. Takes eight times as long.</source>
        <translation>Auch ein Volumen davon erzeugen, wie sehr das Ergebnis schwankt, wenn die Aufnahme gespiegelt wird: hoch, wo das Netz rät. Dauert achtmal so lange.</translation>
    </message>
    <message>
        <source>&amp;Uncertainty map</source>
        <translation>&amp;Unsicherheitskarte</translation>
    </message>
    <message>
        <source>Also make a volume of error bounds, within which the truth lies in nine of ten voxels: wide where the model may err. Only for models, targets and scans for which that was measured.</source>
        <translation>Auch ein Volumen der Fehlergrenzen erzeugen, innerhalb derer die Wahrheit in neun von zehn Voxeln liegt: weit, wo das Modell irren kann. Nur für Modelle, Ziele und Aufnahmen, für die das gemessen wurde.</translation>
    </message>
    <message>
        <source>&amp;Interval map</source>
        <translation>&amp;Intervallkarte</translation>
    </message>
    <message>
        <source>Also make a volume of what in the result the scan does not determine: the model filled it in, and the scan would be the same without it.</source>
        <translation>Auch ein Volumen dessen erzeugen, was die Aufnahme am Ergebnis nicht bestimmt: Das Modell hat es ergänzt, und die Aufnahme wäre ohne es dieselbe.</translation>
    </message>
    <message>
        <source>&amp;Map of what was invented</source>
        <translation>Karte des &amp;Ergänzten</translation>
    </message>
    <message>
        <source>Average the results of the eight flips of the scan: a little better, eight times as slow.</source>
        <translation>Die Ergebnisse der acht Spiegelungen der Aufnahme mitteln: etwas besser, achtmal so langsam.</translation>
    </message>
    <message>
        <source>Self-ensem&amp;ble</source>
        <translation>Selbstense&amp;mble</translation>
    </message>
    <message>
        <source>First learn from the slices of this volume, which are sharp in plane, how to fill in what lies between them. That takes up to ten minutes, and is used as far as it makes the result better.</source>
        <translation>Zuerst aus den Schichten dieses Volumens, die in ihrer Ebene scharf sind, lernen, was zwischen ihnen liegt. Das dauert bis zu zehn Minuten und wird so weit benutzt, wie es das Ergebnis besser macht.</translation>
    </message>
    <message>
        <source>Le&amp;arn from this scan</source>
        <translation>Aus diesem Scan lern&amp;en</translation>
    </message>
    <message>
        <source>Slice thic&amp;kness:</source>
        <translation>Schichtdic&amp;ke:</translation>
    </message>
    <message>
        <source>How thick the slices are, which may be less or more than their distance. Automatic: as DICOM tells, else as far apart as they are.</source>
        <translation>Wie dick die Schichten sind; das kann weniger oder mehr als ihr Abstand sein. Automatisch: wie DICOM sagt, sonst so dick wie ihr Abstand.</translation>
    </message>
    <message>
        <source>Slice profi&amp;le:</source>
        <translation>Schichtprofi&amp;l:</translation>
    </message>
    <message>
        <source>How the scanner weighed what lies in a voxel. What is chosen is relied on: the result is made to agree with the scan exactly, as far as the noise allows. Choose it only if you know it.</source>
        <translation>Wie der Scanner gewichtet, was in einem Voxel liegt. Auf die Wahl wird vertraut: Das Ergebnis stimmt dann genau mit der Aufnahme überein, soweit das Rauschen es zulässt. Nur wählen, wenn es bekannt ist.</translation>
    </message>
    <message>
        <source>Noi&amp;se:</source>
        <translation>Rau&amp;schen:</translation>
    </message>
    <message>
        <source>The standard deviation of the noise in percent of the scan's range of intensities. Automatic: as estimated from the scan.</source>
        <translation>Die Standardabweichung des Rauschens in Prozent des Intensitätsbereichs der Aufnahme. Automatisch: aus der Aufnahme geschätzt.</translation>
    </message>
    <message>
        <source> %</source>
        <translation> %</translation>
    </message>
    <message>
        <source>Research use only - not for diagnosis</source>
        <translation>Nur für die Forschung - nicht zur Diagnose</translation>
    </message>
    <message>
        <source>Volume Super Resolution</source>
        <translation>Volume Super Resolution</translation>
    </message>
    <message>
        <source>Makes a volume sharper: choose a volume, a model and a target resolution, and the result stands in the scene exactly over its input. Thick slices can be made isotropic, and several stacks of them one sharp volume. Results can be compared with the best interpolation. Research use only - not for diagnosis.</source>
        <translation>Macht ein Volumen schärfer: Volumen, Modell und Zielauflösung wählen, und das Ergebnis steht in der Szene genau über der Eingabe. Dicke Schichten können isotrop gemacht werden, und mehrere Stapel davon zu einem scharfen Volumen. Ergebnisse können neben der besten Interpolation betrachtet werden. Nur für die Forschung - nicht zur Diagnose.</translation>
    </message>
    <message>
        <source>The models follow published work on super-resolution: CNN-IL (Georgescu et al.), SRCNN (Dong et al.; Pham et al.), 3D FSRCNN (Mane et al., after Dong et al.), 3D EDSR (Golden, after Lim et al.), SRResNet (Ledig et al.), DCSRN and mDCSRN (Chen et al.), RCAN (Zhang et al.) and 3D RRDB-GAN (Ha et al., after Wang et al.). Each model's card names its paper and the data it was trained on.</source>
        <translation>Die Modelle folgen veröffentlichten Arbeiten zur Superauflösung: CNN-IL (Georgescu et al.), SRCNN (Dong et al.; Pham et al.), 3D FSRCNN (Mane et al., nach Dong et al.), 3D EDSR (Golden, nach Lim et al.), SRResNet (Ledig et al.), DCSRN und mDCSRN (Chen et al.), RCAN (Zhang et al.) und 3D RRDB-GAN (Ha et al., nach Wang et al.). Die Karte jedes Modells nennt seine Veröffentlichung und die Daten, mit denen es trainiert wurde.</translation>
    </message>
    <message>
        <source>&lt;p&gt;See &lt;a href="{picture}"&gt;a comparison&lt;/a&gt; and the &lt;a href="{page}"&gt;documentation and tutorial&lt;/a&gt;.&lt;/p&gt;</source>
        <translation>&lt;p&gt;Siehe &lt;a href="{picture}"&gt;einen Vergleich&lt;/a&gt; und &lt;a href="{page}"&gt;Dokumentation und Anleitung&lt;/a&gt;.&lt;/p&gt;</translation>
    </message>
</context>
<context>
    <name>application.acquisition</name>
    <message>
        <source>Slicer has loaded {name} with an acquisition transform: its slices are unevenly spaced or tilted. It is upscaled as if they were even; for true distances, resample it along that transform first.</source>
        <translation>Slicer hat {name} mit einer Aufnahmetransformation geladen: Die Schichten sind ungleichmäßig verteilt oder gekippt. Verfeinert wird, als wären sie gleichmäßig; für wahre Abstände zuerst mit dieser Transformation neu abtasten.</translation>
    </message>
    <message>
        <source>DICOM says of {name}: {words}. Slicer has loaded it as if they were even, so its distances are wrong, and the result's would be, too; load it with acquisition geometry regularization (a setting of DICOM), or export the series again.</source>
        <translation>DICOM sagt über {name}: {words}. Slicer hat die Schichten geladen, als wären sie gleichmäßig; die Abstände darin stimmen daher nicht, und die im Ergebnis ebenso wenig. Mit „acquisition geometry regularization“ (Einstellungen zu DICOM) laden oder die Serie erneut exportieren.</translation>
    </message>
</context>
<context>
    <name>application.catalog</name>
    <message>
        <source>Automatic</source>
        <translation>Automatisch</translation>
    </message>
</context>
<context>
    <name>application.child</name>
    <message>
        <source>The computing process ended unexpectedly, perhaps for lack of memory; nothing was changed in the scene. Try again with a smaller target or region: the process is started afresh.</source>
        <translation>Der Rechenprozess endete unerwartet, vielleicht aus Mangel an Speicher; in der Szene wurde nichts geändert. Mit einem kleineren Ziel oder Bereich noch einmal versuchen: Der Prozess wird neu gestartet.</translation>
    </message>
    <message>
        <source>The computing process could not be started ({reason}); check the installation of the application.</source>
        <translation>Der Rechenprozess konnte nicht gestartet werden ({reason}); die Installation der Anwendung prüfen.</translation>
    </message>
</context>
<context>
    <name>application.choosing</name>
    <message>
        <source>Slice profile: a position in mm and a weight a line</source>
        <translation>Schichtprofil: je Zeile eine Position in mm und ein Gewicht</translation>
    </message>
    <message>
        <source>Automatic</source>
        <translation>Automatisch</translation>
    </message>
    <message>
        <source>GPU (CUDA)</source>
        <translation>GPU (CUDA)</translation>
    </message>
    <message>
        <source>GPU (Apple)</source>
        <translation>GPU (Apple)</translation>
    </message>
    <message>
        <source>CPU</source>
        <translation>CPU</translation>
    </message>
    <message>
        <source>Full (fp32)</source>
        <translation>Voll (fp32)</translation>
    </message>
    <message>
        <source>Assumed</source>
        <translation>Angenommen</translation>
    </message>
    <message>
        <source>Gaussian</source>
        <translation>Gauß</translation>
    </message>
    <message>
        <source>Box</source>
        <translation>Rechteck</translation>
    </message>
    <message>
        <source>From a file...</source>
        <translation>Aus einer Datei …</translation>
    </message>
    <message>
        <source>Choose a model that is installed.</source>
        <translation>Ein Modell wählen, das installiert ist.</translation>
    </message>
    <message>
        <source>Text files</source>
        <translation>Textdateien</translation>
    </message>
    <message>
        <source>All files</source>
        <translation>Alle Dateien</translation>
    </message>
</context>
<context>
    <name>application.combining</name>
    <message>
        <source>There are {count} volumes and {given} thicknesses; give one for all, or one for each.</source>
        <translation>Es gibt {count} Volumen und {given} Dicken; geben Sie eine für alle oder eine für jedes an.</translation>
    </message>
    <message>
        <source>The reference is none of the volumes; choose one of them.</source>
        <translation>Der Bezug ist keines der Volumen; wählen Sie eines davon.</translation>
    </message>
</context>
<context>
    <name>application.comparing</name>
    <message>
        <source>Result</source>
        <translation>Ergebnis</translation>
    </message>
    <message>
        <source>Flicker with interpolation</source>
        <translation>Wechsel mit Interpolation</translation>
    </message>
    <message>
        <source>Curtain over interpolation</source>
        <translation>Vorhang vor Interpolation</translation>
    </message>
    <message>
        <source>Difference to interpolation</source>
        <translation>Unterschied zur Interpolation</translation>
    </message>
    <message>
        <source>Uncertainty</source>
        <translation>Unsicherheit</translation>
    </message>
    <message>
        <source>Interval of 90%</source>
        <translation>90-%-Intervall</translation>
    </message>
    <message>
        <source>Not determined by the scan</source>
        <translation>Von der Aufnahme nicht bestimmt</translation>
    </message>
    <message>
        <source>How many scans saw it</source>
        <translation>Wie viele Scans es zeigen</translation>
    </message>
    <message>
        <source>Residual of the scans</source>
        <translation>Residuum der Scans</translation>
    </message>
    <message>
        <source>Axial</source>
        <translation>Axial</translation>
    </message>
    <message>
        <source>Coronal</source>
        <translation>Koronal</translation>
    </message>
    <message>
        <source>Sagittal</source>
        <translation>Sagittal</translation>
    </message>
</context>
<context>
    <name>application.comparison</name>
    <message>
        <source>Input</source>
        <translation>Eingabe</translation>
    </message>
    <message>
        <source>Interp.</source>
        <translation>Interp.</translation>
    </message>
    <message>
        <source>Result</source>
        <translation>Ergebnis</translation>
    </message>
</context>
<context>
    <name>application.dependencies</name>
    <message>
        <source>The networks need PyTorch, which is not installed</source>
        <translation>Die Netze brauchen PyTorch, das nicht installiert ist</translation>
    </message>
    <message>
        <source>The networks need PyTorch, of which only an empty folder is left</source>
        <translation>Die Netze brauchen PyTorch, von dem nur ein leerer Ordner übrig ist</translation>
    </message>
    <message>
        <source>{problem}; install the extension PyTorch in the Extensions Manager and restart Slicer, or choose an interpolation.</source>
        <translation>{problem}; die Erweiterung PyTorch im Erweiterungsmanager installieren und Slicer neu starten, oder eine Interpolation wählen.</translation>
    </message>
    <message>
        <source>{problem}; install it with the button below, or choose an interpolation.</source>
        <translation>{problem}; mit dem Knopf darunter installieren, oder eine Interpolation wählen.</translation>
    </message>
    <message>
        <source>PyTorch was installed but cannot be used yet; restart Slicer and try again.</source>
        <translation>PyTorch wurde installiert, kann aber noch nicht benutzt werden; Slicer neu starten und noch einmal versuchen.</translation>
    </message>
    <message>
        <source>PyTorch is installed.</source>
        <translation>PyTorch ist installiert.</translation>
    </message>
    <message>
        <source>PyTorch could not be installed ({error}); see the module PyTorch Util.</source>
        <translation>PyTorch konnte nicht installiert werden ({error}); siehe das Modul PyTorch Util.</translation>
    </message>
</context>
<context>
    <name>application.dicomseries</name>
    <message>
        <source>{name} was made of nothing that DICOM's database knows, so no DICOM series can be derived from it.</source>
        <translation>{name} wurde aus nichts gemacht, was die DICOM-Datenbank kennt, daher lässt sich keine DICOM-Serie davon ableiten.</translation>
    </message>
    <message>
        <source>{name} is moved by a transform, of which DICOM knows nothing; take it out of the transform first.</source>
        <translation>{name} wird von einer Transformation bewegt, von der DICOM nichts weiß; zuerst aus der Transformation nehmen.</translation>
    </message>
    <message>
        <source>{count} of {total} files of the scan are no longer where DICOM's database has them; import it again.</source>
        <translation>{count} von {total} Dateien der Aufnahme sind nicht mehr dort, wo die DICOM-Datenbank sie hat; erneut importieren.</translation>
    </message>
    <message>
        <source>Folder for the DICOM series</source>
        <translation>Ordner für die DICOM-Serie</translation>
    </message>
    <message>
        <source>Super-Resolution</source>
        <translation>Super-Resolution</translation>
    </message>
    <message>
        <source>{name} was saved as a DICOM series in {folder}.</source>
        <translation>{name} wurde als DICOM-Serie in {folder} gesichert.</translation>
    </message>
    <message>
        <source>Writing {name} as DICOM</source>
        <translation>{name} wird als DICOM geschrieben</translation>
    </message>
</context>
<context>
    <name>application.learning</name>
    <message>
        <source>There is no volume to learn from.</source>
        <translation>Es gibt kein Volumen, aus dem gelernt werden könnte.</translation>
    </message>
    <message>
        <source>learning {time}, {gain} dB on what was held out</source>
        <translation>lernt {time}, {gain} dB auf dem, was zurückgehalten wurde</translation>
    </message>
</context>
<context>
    <name>application.overlay</name>
    <message>
        <source>Changed by</source>
        <translation>Geändert um</translation>
    </message>
</context>
<context>
    <name>application.panel</name>
    <message>
        <source>Cancel</source>
        <translation>Abbrechen</translation>
    </message>
    <message>
        <source>&amp;Apply</source>
        <translation>&amp;Anwenden</translation>
    </message>
    <message>
        <source>Cancel comparison</source>
        <translation>Vergleich abbrechen</translation>
    </message>
    <message>
        <source>&amp;Compare</source>
        <translation>Ver&amp;gleichen</translation>
    </message>
</context>
<context>
    <name>application.regions</name>
    <message>
        <source>Choose a markups ROI for the region.</source>
        <translation>Eine Markups-ROI für den Bereich wählen.</translation>
    </message>
    <message>
        <source>{roi} has no extent; place the ROI on the volume first.</source>
        <translation>{roi} hat keine Ausdehnung; die ROI erst auf das Volumen setzen.</translation>
    </message>
    <message>
        <source>{roi} does not touch {volume}; move the ROI onto the volume.</source>
        <translation>{roi} berührt {volume} nicht; die ROI auf das Volumen schieben.</translation>
    </message>
    <message>
        <source>That point is outside {volume}; move the crosshair onto the volume.</source>
        <translation>Dieser Punkt liegt außerhalb von {volume}; das Fadenkreuz auf das Volumen setzen.</translation>
    </message>
</context>
<context>
    <name>application.rightview</name>
    <message>
        <source>Uncertainty</source>
        <translation>Unsicherheit</translation>
    </message>
    <message>
        <source>90% within ±</source>
        <translation>90 % innerhalb ±</translation>
    </message>
    <message>
        <source>Not in the scan</source>
        <translation>Nicht in der Aufnahme</translation>
    </message>
    <message>
        <source>Scans</source>
        <translation>Scans</translation>
    </message>
    <message>
        <source>Scans differ by</source>
        <translation>Scans weichen ab um</translation>
    </message>
</context>
<context>
    <name>application.running</name>
    <message>
        <source>, {time} left</source>
        <translation>, noch {time}</translation>
    </message>
    <message>
        <source>The run could not be started: {error}</source>
        <translation>Der Lauf konnte nicht gestartet werden: {error}</translation>
    </message>
</context>
<context>
    <name>application.runs</name>
    <message>
        <source>The result could not be added to the scene: {error}</source>
        <translation>Das Ergebnis konnte der Szene nicht hinzugefügt werden: {error}</translation>
    </message>
</context>
<context>
    <name>application.scene</name>
    <message>
        <source>Choose an input volume.</source>
        <translation>Ein Eingabevolumen wählen.</translation>
    </message>
    <message>
        <source>The input volume was removed from the scene, so its result was dropped; load it again.</source>
        <translation>Das Eingabevolumen wurde aus der Szene entfernt, sein Ergebnis daher verworfen; es erneut laden.</translation>
    </message>
    <message>
        <source>The output volume was removed from the scene, so the result was dropped; choose another.</source>
        <translation>Das Ausgabevolumen wurde aus der Szene entfernt, das Ergebnis daher verworfen; ein anderes wählen.</translation>
    </message>
    <message>
        <source>The output would replace its own input; choose another output volume.</source>
        <translation>Die Ausgabe würde ihre eigene Eingabe ersetzen; ein anderes Ausgabevolumen wählen.</translation>
    </message>
    <message>
        <source>{name} is a label map, not a scan; choose the scan it was drawn on.</source>
        <translation>{name} ist eine Labelkarte, keine Aufnahme; die Aufnahme wählen, auf der sie gezeichnet wurde.</translation>
    </message>
    <message>
        <source>{name} is empty; load or choose a volume that has voxels.</source>
        <translation>{name} ist leer; ein Volumen laden oder wählen, das Voxel hat.</translation>
    </message>
    <message>
        <source>{name} has {components} values in each voxel (a color image, a vector field or a time series); extract one component or time point as a scalar volume first.</source>
        <translation>{name} hat {components} Werte je Voxel (ein Farbbild, ein Vektorfeld oder eine Zeitreihe); erst eine Komponente oder einen Zeitpunkt als skalares Volumen herausnehmen.</translation>
    </message>
    <message>
        <source>{name} is a single voxel; choose a volume with more than one.</source>
        <translation>{name} ist ein einzelnes Voxel; ein Volumen mit mehr als einem wählen.</translation>
    </message>
    <message>
        <source>{name} holds single bits; convert it to a scalar volume of bytes first.</source>
        <translation>{name} enthält einzelne Bits; es erst in ein skalares Volumen aus Bytes umwandeln.</translation>
    </message>
    <message>
        <source>{name} cannot hold the result; choose a scalar volume as the output.</source>
        <translation>{name} kann das Ergebnis nicht aufnehmen; ein skalares Volumen als Ausgabe wählen.</translation>
    </message>
</context>
<context>
    <name>application.segments</name>
    <message>
        <source>There is no segmentation of this volume; draw or load one first.</source>
        <translation>Es gibt keine Segmentierung dieses Volumens; zeichnen oder laden Sie zuerst eine.</translation>
    </message>
    <message>
        <source>{name} refined</source>
        <translation>{name} verfeinert</translation>
    </message>
    <message>
        <source>A segmentation was removed from the scene meanwhile.</source>
        <translation>Eine Segmentierung wurde inzwischen aus der Szene entfernt.</translation>
    </message>
</context>
<context>
    <name>application.selftest</name>
    <message>
        <source>The comparison</source>
        <translation>Der Vergleich</translation>
    </message>
    <message>
        <source>Upscaling with {model}</source>
        <translation>Verfeinern mit {model}</translation>
    </message>
</context>
<context>
    <name>application.showing</name>
    <message>
        <source>The model {model} of this scene is not installed; choose another.</source>
        <translation>Das Modell {model} dieser Szene ist nicht installiert; ein anderes wählen.</translation>
    </message>
    <message>
        <source>The volume holds {count} values that are not numbers; let them be replaced (under Advanced), or mend the volume.</source>
        <translation>Das Volumen enthält {count} Werte, die keine Zahlen sind; sie ersetzen lassen (unter Erweitert) oder das Volumen reparieren.</translation>
    </message>
    <message>
        <source>Load a volume, or take one from the module Sample Data.</source>
        <translation>Ein Volumen laden, oder eines aus dem Modul Sample Data nehmen.</translation>
    </message>
</context>
<context>
    <name>application.sidebyside</name>
    <message>
        <source>There is no result of this volume to compare yet; press Apply first.</source>
        <translation>Es gibt noch kein Ergebnis dieses Volumens zu vergleichen; erst auf Anwenden drücken.</translation>
    </message>
    <message>
        <source>The comparison could not be opened. {reason}</source>
        <translation>Der Vergleich konnte nicht geöffnet werden. {reason}</translation>
    </message>
</context>
<context>
    <name>application.stackform</name>
    <message>
        <source>Axial</source>
        <translation>Axial</translation>
    </message>
    <message>
        <source>Coronal</source>
        <translation>Koronal</translation>
    </message>
    <message>
        <source>Sagittal</source>
        <translation>Sagittal</translation>
    </message>
    <message>
        <source>Oblique</source>
        <translation>Schräg</translation>
    </message>
    <message>
        <source>Volume</source>
        <translation>Volumen</translation>
    </message>
    <message>
        <source>As the reference</source>
        <translation>Wie der Bezug</translation>
    </message>
    <message>
        <source>What all show</source>
        <translation>Was alle zeigen</translation>
    </message>
    <message>
        <source>What any shows</source>
        <translation>Was irgendeiner zeigt</translation>
    </message>
    <message>
        <source> mm</source>
        <translation> mm</translation>
    </message>
    <message>
        <source>How thick the slices are: what DICOM says, or how far they are apart, unless you know better.</source>
        <translation>Wie dick die Schichten sind: was DICOM sagt, sonst ihr Abstand, wenn Sie es nicht besser wissen.</translation>
    </message>
    <message>
        <source>Tick two to {most} stacks of one contrast, in different planes.</source>
        <translation>Zwei bis {most} Stapel eines Kontrasts in verschiedenen Ebenen ankreuzen.</translation>
    </message>
</context>
<context>
    <name>application.stacks</name>
    <message>
        <source>{name} lies under a transform that bends or stretches it against {other}; harden or remove the transform first.</source>
        <translation>{name} liegt unter einer Transformation, die es gegenüber {other} verbiegt oder dehnt; wenden Sie sie erst fest an (harden) oder entfernen Sie sie.</translation>
    </message>
</context>
<context>
    <name>application.targets</name>
    <message>
        <source>Own voxel size</source>
        <translation>Eigene Voxelgröße</translation>
    </message>
    <message>
        <source>Isotropic: {size} mm</source>
        <translation>Isotrop: {size} mm</translation>
    </message>
    <message>
        <source>{factor}x finer: {size} mm</source>
        <translation>{factor}x feiner: {size} mm</translation>
    </message>
    <message>
        <source>Thinner slices: {before} → {after} mm</source>
        <translation>Dünnere Schichten: {before} → {after} mm</translation>
    </message>
</context>
<context>
    <name>application.transfer</name>
    <message>
        <source>The result is damaged; run it again.</source>
        <translation>Das Ergebnis ist beschädigt; noch einmal laufen lassen.</translation>
    </message>
</context>
<context>
    <name>application.wording</name>
    <message>
        <source>Takes the network that is best for a target, or back-projection where none gains on noisy scans.</source>
        <translation>Nimmt das Netz, das für ein Ziel am besten ist, oder die Rückprojektion, wo keines bei verrauschten Aufnahmen gewinnt.</translation>
    </message>
    <message>
        <source>Its error was {percent}% smaller than that of the best interpolation, on noisy scans it never saw.</source>
        <translation>Sein Fehler war {percent}% kleiner als der der besten Interpolation, auf verrauschten Aufnahmen, die es nie gesehen hat.</translation>
    </message>
    <message>
        <source>{count} stacks of this examination are here: &lt;a href="stacks"&gt;combine them&lt;/a&gt; into one sharp volume.</source>
        <translation>{count} Stapel dieser Untersuchung sind da: &lt;a href="stacks"&gt;vereinen Sie sie&lt;/a&gt; zu einem scharfen Volumen.</translation>
    </message>
    <message>
        <source>{name}: {method}{realism}, {time} on the {device}; agrees with the scan within {residual} on average.</source>
        <translation>{name}: {method}{realism}, {time} auf der {device}; stimmt mit der Aufnahme im Mittel auf {residual} überein.</translation>
    </message>
    <message>
        <source>Factor: {factor}; {parameters} parameters</source>
        <translation>Faktor: {factor}; {parameters} Parameter</translation>
    </message>
    <message>
        <source>No error bounds are known for it.</source>
        <translation>Fehlergrenzen sind dafür nicht bekannt.</translation>
    </message>
    <message>
        <source>&lt;b&gt;Automatic&lt;/b&gt; takes {title}, of the networks the best for this target. {trust}</source>
        <translation>&lt;b&gt;Automatisch&lt;/b&gt; nimmt {title}, von den Netzen das beste für dieses Ziel. {trust}</translation>
    </message>
    <message>
        <source>It adds nothing that is not in the scan.</source>
        <translation>Es fügt nichts hinzu, was nicht in der Aufnahme ist.</translation>
    </message>
    <message>
        <source>How good it is on such scans was not measured.</source>
        <translation>Wie gut es bei solchen Aufnahmen ist, wurde nicht gemessen.</translation>
    </message>
    <message>
        <source>Its error was {percent}% larger than that of the best interpolation, on noisy scans it never saw.</source>
        <translation>Sein Fehler war {percent}% größer als der der besten Interpolation, auf verrauschten Aufnahmen, die es nie gesehen hat.</translation>
    </message>
    <message>
        <source>Interpolations</source>
        <translation>Interpolationen</translation>
    </message>
    <message>
        <source>Networks, 2x</source>
        <translation>Netze, 2x</translation>
    </message>
    <message>
        <source>Networks, 4x</source>
        <translation>Netze, 4x</translation>
    </message>
    <message>
        <source>Thick slices</source>
        <translation>Dicke Schichten</translation>
    </message>
    <message>
        <source>Every grid</source>
        <translation>Jedes Gitter</translation>
    </message>
    <message>
        <source>{title}, chosen automatically</source>
        <translation>{title}, automatisch gewählt</translation>
    </message>
    <message>
        <source>What was learned from the scan is {share}% of it: {gain} dB over {title} on what was held out.</source>
        <translation>Aus dem Scan Gelerntes macht {share}% davon aus: {gain} dB gegenüber {title} auf dem, was zurückgehalten wurde.</translation>
    </message>
    <message>
        <source>What was learned from the scan gained too little over {title} to be used ({gain} dB).</source>
        <translation>Aus dem Scan Gelerntes war gegenüber {title} zu wenig besser, um benutzt zu werden ({gain} dB).</translation>
    </message>
    <message>
        <source>In tissue the truth typically lies within ± {half} with 90% ({covered} measured on {n} subjects).</source>
        <translation>Im Gewebe liegt die Wahrheit meist mit 90 % innerhalb von ± {half} ({covered}, gemessen an {n} Personen).</translation>
    </message>
    <message>
        <source>In tissue {part} on average is not determined by the scan, but filled in.</source>
        <translation>Im Gewebe sind im Mittel {part} von der Aufnahme nicht bestimmt, sondern ergänzt.</translation>
    </message>
    <message>
        <source>They were taken where they lie.</source>
        <translation>Sie wurden genommen, wo sie liegen.</translation>
    </message>
    <message>
        <source>CT in HU</source>
        <translation>CT in HU</translation>
    </message>
    <message>
        <source>assumed</source>
        <translation>angenommen</translation>
    </message>
    <message>
        <source>from DICOM</source>
        <translation>aus DICOM</translation>
    </message>
    <message>
        <source>as given</source>
        <translation>wie angegeben</translation>
    </message>
    <message>
        <source>estimated</source>
        <translation>geschätzt</translation>
    </message>
    <message>
        <source>Noise {percent}% ({source}).</source>
        <translation>Rauschen {percent}% ({source}).</translation>
    </message>
    <message>
        <source>less than a second</source>
        <translation>weniger als eine Sekunde</translation>
    </message>
    <message>
        <source>Error bounds are known for {places}.</source>
        <translation>Fehlergrenzen sind bekannt für {places}.</translation>
    </message>
    <message>
        <source>&lt;b&gt;Automatic&lt;/b&gt; takes {title}, as no network is made for this target. {trust}</source>
        <translation>&lt;b&gt;Automatisch&lt;/b&gt; nimmt {title}, da kein Netz für dieses Ziel gemacht ist. {trust}</translation>
    </message>
    <message>
        <source>&lt;b&gt;Automatic&lt;/b&gt; takes {title}, as the networks need PyTorch, which is not at hand. {trust}</source>
        <translation>&lt;b&gt;Automatisch&lt;/b&gt; nimmt {title}, da die Netze PyTorch brauchen, das nicht da ist. {trust}</translation>
    </message>
    <message>
        <source> and </source>
        <translation> und </translation>
    </message>
    <message>
        <source>Trained on {modalities}, voxels of {finest} to {coarsest} mm.</source>
        <translation>Trainiert mit {modalities}, Voxel von {finest} bis {coarsest} mm.</translation>
    </message>
    <message>
        <source>{modality}: {clean} over the best interpolation; {noisy} on noisy scans.</source>
        <translation>{modality}: {clean} über der besten Interpolation; {noisy} auf verrauschten Aufnahmen.</translation>
    </message>
    <message>
        <source>{count} stacks -&gt; {grid}, {memory}</source>
        <translation>{count} Stapel -&gt; {grid}, {memory}</translation>
    </message>
    <message>
        <source>{name}: {count} stacks, {time}; they differ from it by {residual}% of the range of intensities.</source>
        <translation>{name}: {count} Stapel, {time}; sie weichen davon um {residual}% des Helligkeitsumfangs ab.</translation>
    </message>
    <message>
        <source>Assumed: {modality}. {scan}</source>
        <translation>Angenommen: {modality}. {scan}</translation>
    </message>
    <message>
        <source>Slices {width} mm thick every {step} mm ({source}), pixels of {fine} mm.</source>
        <translation>Schichten {width} mm dick alle {step} mm ({source}), Pixel {fine} mm.</translation>
    </message>
    <message>
        <source>Gaps of {size} mm between them.</source>
        <translation>Lücken von {size} mm dazwischen.</translation>
    </message>
    <message>
        <source>They overlap by {size} mm.</source>
        <translation>Sie überlappen um {size} mm.</translation>
    </message>
    <message>
        <source>{percent}% of the range of intensities</source>
        <translation>{percent}% des Intensitätsbereichs</translation>
    </message>
    <message>
        <source>Trained on {modalities}.</source>
        <translation>Trainiert mit {modalities}.</translation>
    </message>
    <message>
        <source>{modality}: {clean} over the best interpolation.</source>
        <translation>{modality}: {clean} über der besten Interpolation.</translation>
    </message>
    <message>
        <source>, about {time} on the {device}</source>
        <translation>, etwa {time} auf der {device}</translation>
    </message>
    <message>
        <source>, after up to {time} of learning</source>
        <translation>, nach bis zu {time} Lernen</translation>
    </message>
    <message>
        <source>The patient had moved by up to {moved} mm and {degrees}° between them; sure to {loop} mm.</source>
        <translation>Der Patient hatte sich dazwischen um bis zu {moved} mm und {degrees}° bewegt; sicher auf {loop} mm.</translation>
    </message>
    <message>
        <source>{count} of the {total} slices of {name} moved alone and were placed one by one.</source>
        <translation>{count} der {total} Schichten von {name} hatten sich einzeln bewegt und wurden einzeln eingepasst.</translation>
    </message>
    <message>
        <source>{count} of the {total} slices of {name} did not fit and were left out.</source>
        <translation>{count} der {total} Schichten von {name} passten nicht und blieben weg.</translation>
    </message>
    <message>
        <source>Assumed: {modality}, slices as thick as they are apart.</source>
        <translation>Angenommen: {modality}, Schichten so dick wie ihr Abstand.</translation>
    </message>
    <message>
        <source>{modality}: {noisy} over the best interpolation on noisy scans.</source>
        <translation>{modality}: {noisy} über der besten Interpolation auf verrauschten Aufnahmen.</translation>
    </message>
    <message>
        <source>, less than a second on the {device}</source>
        <translation>, weniger als eine Sekunde auf der {device}</translation>
    </message>
    <message>
        <source>It is the mean of {parts}.</source>
        <translation>Es ist das Mittel aus {parts}.</translation>
    </message>
    <message>
        <source>Profile: {name} (as given).</source>
        <translation>Profil: {name} (wie angegeben).</translation>
    </message>
    <message>
        <source>Realism: 0 (the faithful model {partner}) to 1 (as it is)</source>
        <translation>Realismus: 0 (das treue Modell {partner}) bis 1 (wie es ist)</translation>
    </message>
    <message>
        <source>Paper: {paper}</source>
        <translation>Veröffentlichung: {paper}</translation>
    </message>
</context>
<context>
    <name>application.worker</name>
    <message>
        <source>A run is going on; wait for it to finish or cancel it first.</source>
        <translation>Ein Lauf ist im Gange; warten, bis er endet, oder ihn erst abbrechen.</translation>
    </message>
    <message>
        <source>The run could not go on ({error}); the error log has the details.</source>
        <translation>Der Lauf konnte nicht weitergehen ({error}); das Fehlerprotokoll enthält die Einzelheiten.</translation>
    </message>
    <message>
        <source>Temporary files cannot be used ({error}).</source>
        <translation>Temporäre Dateien können nicht benutzt werden ({error}).</translation>
    </message>
</context>
</TS>
