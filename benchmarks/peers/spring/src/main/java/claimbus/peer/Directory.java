package claimbus.peer;

import claimbus.peer.Messages.Decision;
import claimbus.peer.Messages.Hours;
import claimbus.peer.Messages.Texts;
import java.time.DayOfWeek;
import java.time.Instant;
import java.time.LocalTime;
import java.time.ZoneId;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import org.springframework.stereotype.Component;

/** The settings of the demo's companies as a constant table, and the rules that they lead to. */
@Component
class Directory {
    private static final Map<String, String> COMPANY_OF_OFFICE =
            Map.of("vest-bergen", "vest-skadeservice", "vest-voss", "vest-skadeservice", "nord-tromso", "nord-ror");
    private static final Map<String, Insurer> INSURERS = Map.of(
            "fjord-forsikring",
            new Insurer(
                    ZoneId.of("Europe/Oslo"),
                    LocalTime.of(8, 0),
                    LocalTime.of(16, 0),
                    Map.of("vest-bergen", "always", "vest-voss", "outside_office_hours", "nord-tromso", "never")));
    private static final Set<DayOfWeek> WEEKEND = Set.of(DayOfWeek.SATURDAY, DayOfWeek.SUNDAY);
    private static final DateTimeFormatter LOCAL = DateTimeFormatter.ofPattern("uuuu-MM-dd'T'HH:mm:ss.SSSxxx'['VV']'");
    private static final DateTimeFormatter ENGLISH =
            DateTimeFormatter.ofPattern("EEEE d MMMM uuuu HH:mm", Locale.ENGLISH);
    private static final DateTimeFormatter NORWEGIAN =
            DateTimeFormatter.ofPattern("EEEE d. MMMM uuuu 'kl.' HH:mm", Locale.forLanguageTag("nb"));

    private record Insurer(ZoneId zone, LocalTime opens, LocalTime closes, Map<String, String> permissions) {}

    /** Says why a request is refused, or null. */
    String refusal(String company, String insurer, String office, Decision decision) {
        if (!company.equals(COMPANY_OF_OFFICE.get(office))) {
            return COMPANY_OF_OFFICE.containsKey(office) ? "not_your_office" : "unknown_office";
        }
        if (!INSURERS.containsKey(insurer)) {
            return "unknown_insurer";
        }
        return switch (decision.creationPermission()) {
            case "never" -> "never_permitted";
            case "outside_office_hours" -> decision.insideOfficeHours() ? "inside_office_hours" : null;
            default -> null;
        };
    }

    String timeZone(String insurer) {
        return INSURERS.containsKey(insurer) ? INSURERS.get(insurer).zone().getId() : null;
    }

    String companyOf(String office) {
        return COMPANY_OF_OFFICE.get(office);
    }

    /** Decides by the moment of the request, which is its append time. */
    Decision decide(String insurer, String office, Instant at) {
        Insurer settings = INSURERS.get(insurer);
        if (settings == null) {
            return null;
        }
        ZonedDateTime local = at.atZone(settings.zone());
        boolean weekend = WEEKEND.contains(local.getDayOfWeek());
        LocalTime time = local.toLocalTime();
        boolean inside = !weekend && !time.isBefore(settings.opens()) && time.isBefore(settings.closes());
        String permission = settings.permissions().getOrDefault(office, "never");
        Hours hours = weekend ? null : new Hours(settings.opens().toString(), settings.closes().toString());
        String rule = permission.equals("always") ? "always_permitted"
                : permission.equals("never") ? "never_permitted"
                : weekend ? "closed_weekday"
                : inside ? "inside_office_hours"
                : time.isBefore(settings.opens()) ? "before_opening" : "after_closing";
        String zone = settings.zone().getId();
        Texts explanation = new Texts(
                "%s %s, kontortid %s, tillatelse %s".formatted(NORWEGIAN.format(local), zone, written(hours), permission),
                "%s %s, office hours %s, permission %s".formatted(ENGLISH.format(local), zone, written(hours), permission));
        return new Decision(rule, permission, LOCAL.format(local), inside, hours, explanation);
    }

    private static String written(Hours hours) {
        return hours == null ? "–" : hours.opens() + "–" + hours.closes();
    }
}
